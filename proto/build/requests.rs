//! Generates the conversions of typed requests into those of `proto/requests.rs`: by the verb of their method and the
//! names of their fields. A request whose fields do not fit its verb fails the build.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
};

/// Fields that have the same meaning in every request, and their types.
const KNOWN: &[(&str, Type)] = &[
    ("allow_missing", Type::Bool),
    ("etag", Type::String),
    ("filter", Type::Message),
    ("order_by", Type::String),
    ("page_size", Type::Int32),
    ("page_token", Type::String),
    ("read_mask", Type::Message),
    ("resume_token", Type::String),
    ("revision", Type::Int32),
    ("uids", Type::String),
    ("view", Type::Enum),
];

/// The verb that a method's name begins with; `BatchGet` counts as one.
pub(crate) fn leading_word(name: &str) -> &str {
    if name.starts_with("BatchGet") {
        return "BatchGet";
    }
    let end = name.char_indices().skip(1).find(|(_, c)| c.is_ascii_uppercase()).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

/// The Rust type of a message of the contract.
pub(crate) fn rust_path(message: &str) -> String {
    let path = message.trim_start_matches(".orrery.").replace('.', "::").replace("type::", "r#type::");
    format!("crate::{path}")
}

/// The conversions of all requests.
///
/// # Errors
/// Which request does not fit its verb, and why.
pub(crate) fn generate(set: &FileDescriptorSet) -> Result<String, String> {
    let contract = Contract::of(set);
    let mut conversions = BTreeMap::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("orrery.")) {
        for method in file.service.iter().flat_map(|service| &service.method) {
            if let Some(conversion) = contract.conversion(method)? {
                conversions.insert(method.input_type(), conversion);
            }
        }
    }
    Ok(conversions.into_values().collect())
}

/// Messages and enums by their full names.
struct Contract<'c> {
    messages: BTreeMap<String, &'c DescriptorProto>,
    enums: BTreeMap<String, &'c EnumDescriptorProto>,
}

impl<'c> Contract<'c> {
    fn of(set: &'c FileDescriptorSet) -> Self {
        let mut contract = Self { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for file in &set.file {
            let full = |name: &str| format!(".{}.{name}", file.package());
            contract.messages.extend(file.message_type.iter().map(|message| (full(message.name()), message)));
            contract.enums.extend(file.enum_type.iter().map(|an_enum| (full(an_enum.name()), an_enum)));
        }
        contract
    }

    /// The conversion of a method's request; `None` if its verb promises nothing about it.
    fn conversion(&self, method: &MethodDescriptorProto) -> Result<Option<String>, String> {
        let name = method.input_type();
        let Some(message) = self.messages.get(name) else { return Ok(None) };
        let request = Request { contract: self, name, method: method.name(), message };
        let conversion = match leading_word(method.name()) {
            "Get" if !method.output_type().ends_with("Response") => request.get(method.output_type()),
            "BatchGet" => request.batch_get(),
            "Delete" => request.delete(),
            "List" | "Lookup" => request.pages("List", "page_token"),
            "Stream" => request.pages("Stream", "resume_token"),
            "Check" => request.check(method.output_type()),
            _ => return Ok(None),
        };
        conversion.map(Some).map_err(|why| format!("{name}, of {}: {why}; see proto/requests.rs", method.name()))
    }
}

/// A request that is to be converted.
struct Request<'c> {
    contract: &'c Contract<'c>,
    name: &'c str,
    method: &'c str,
    message: &'c DescriptorProto,
}

impl Request<'_> {
    fn field(&self, name: &str) -> Option<&FieldDescriptorProto> {
        self.message.field.iter().find(|field| field.name() == name)
    }

    /// Checks the types of all fields that every request means the same by, and that there are no others than
    /// `allowed` and the first few, of which `keys` says how many.
    fn check_fields(&self, allowed: &[&str], keys: usize) -> Result<(), String> {
        for field in self.message.field.iter().skip(keys) {
            if !allowed.contains(&field.name()) {
                return Err(format!("its verb knows no field {}", field.name()));
            }
            self.check_type(field)?;
        }
        Ok(())
    }

    fn check_type(&self, field: &FieldDescriptorProto) -> Result<(), String> {
        let name = field.name();
        let Some((_, expected)) = KNOWN.iter().find(|(known, _)| *known == name) else { return Ok(()) };
        let repeated = field.label() == Label::Repeated;
        if field.r#type() != *expected || repeated != (name == "uids") {
            return Err(format!("{name} has another type"));
        }
        if name == "read_mask" && field.type_name() != ".google.protobuf.FieldMask" {
            return Err("read_mask is no google.protobuf.FieldMask".to_owned());
        }
        if name == "view" {
            let values =
                self.contract.enums.get(field.type_name()).map(|an_enum| &an_enum.value[..]).unwrap_or_default();
            let fits =
                values.len() == 3
                    && values.iter().zip(["_VIEW_UNSPECIFIED", "_VIEW_BASIC", "_VIEW_FULL"]).enumerate().all(
                        |(number, (value, ending))| value.number() == number as i32 && value.name().ends_with(ending),
                    );
            if !fits {
                return Err("view is no enum of UNSPECIFIED, BASIC and FULL".to_owned());
            }
        }
        Ok(())
    }

    /// The key's columns: the fields before the first one that every request means the same by.
    fn key(&self) -> Result<Vec<&str>, String> {
        let fields = self.message.field.iter();
        let key: Vec<_> = fields.take_while(|field| !KNOWN.iter().any(|(known, _)| *known == field.name())).collect();
        let texts = key.iter().all(|field| field.r#type() == Type::String && field.label() != Label::Repeated);
        if key.is_empty() || !texts {
            return Err("it must begin with the columns of a key, as strings".to_owned());
        }
        Ok(key.into_iter().map(FieldDescriptorProto::name).collect())
    }

    fn get(&self, resource: &str) -> Result<String, String> {
        let key = self.key()?;
        self.check_fields(&["read_mask", "view"], key.len())?;
        let fields = self.contract.messages.get(resource).map(|resource| &resource.field[..]).unwrap_or_default();
        if !fields.iter().map(FieldDescriptorProto::name).take(key.len()).eq(key.iter().copied()) {
            return Err(format!("its key is not what {resource} begins with"));
        }
        Ok(self.from("Get", &[key_field(&key), self.taken("read_mask"), self.taken("view")]))
    }

    fn batch_get(&self) -> Result<String, String> {
        self.check_fields(&["uids", "read_mask", "view"], 0)?;
        self.field("uids").ok_or("it has no uids")?;
        Ok(self.from("BatchGet", &[self.taken("uids"), self.taken("read_mask"), self.taken("view")]))
    }

    fn delete(&self) -> Result<String, String> {
        let key = self.key()?;
        self.check_fields(&["etag", "revision", "allow_missing"], key.len())?;
        let fields = ["etag", "revision", "allow_missing"].map(|name| self.taken(name));
        Ok(self.from("Delete", &[&[key_field(&key)], &fields[..]].concat()))
    }

    /// A request for pages. What is no well-known field is a condition on the rows where there is no filter of its own.
    fn pages(&self, form: &str, token: &str) -> Result<String, String> {
        let known = ["filter", "order_by", "page_size", token, "read_mask", "view"];
        let filter = self.field("filter");
        match filter {
            Some(_) => self.check_fields(&known, 0)?,
            None => self.message.field.iter().try_for_each(|field| self.check_type(field))?,
        }
        if self.field(token).is_none() || self.field("page_size").is_none() {
            return Err(format!("it has no {token} or no page_size"));
        }
        let known = known.iter().filter(|name| **name != "filter");
        let mut fields = vec![format!("method: {:?}", self.method)];
        fields.extend(known.map(|name| self.taken(name)));
        let (of, filter) = match filter {
            Some(filter) => (rust_path(filter.type_name()), "request.filter"),
            None => (rust_path(self.name), "Some(request)"),
        };
        fields.push(format!("filter: crate::requests::Filter::new({filter})"));
        Ok(self.from(&format!("{form}<{of}>"), &fields))
    }

    fn check(&self, response: &str) -> Result<String, String> {
        self.check_fields(&["uids"], 0)?;
        self.field("uids").ok_or("it has no uids")?;
        let fields = self.contract.messages.get(response).map(|response| &response.field[..]).unwrap_or_default();
        if !fields
            .iter()
            .map(|field| (field.name(), field.r#type()))
            .eq([("checked", Type::Int64), ("missing_uids", Type::String)])
        {
            return Err(format!("{response} does not hold checked and missing_uids"));
        }
        let (request, response) = (rust_path(self.name), rust_path(response));
        Ok(format!(
            "impl crate::requests::Check for {request} {{\n    \
                 type Response = {response};\n\n    \
                 fn uids(self) -> Vec<String> {{\n        \
                     self.uids\n    \
                 }}\n\n    \
                 fn response(checked: i64, missing_uids: Vec<String>) -> {response} {{\n        \
                     {response} {{ checked, missing_uids }}\n    \
                 }}\n\
             }}\n"
        ))
    }

    /// A field with its value in the request, or with none where the request has no such field.
    fn taken(&self, name: &str) -> String {
        match self.field(name) {
            Some(_) => format!("{name}: std::mem::take(&mut request.{name})"),
            None => format!("{name}: Default::default()"),
        }
    }

    fn from(&self, form: &str, fields: &[String]) -> String {
        let request = rust_path(self.name);
        let mut code = format!(
            "impl From<{request}> for crate::requests::{form} {{\n    fn from(mut request: {request}) -> Self {{\n        Self {{\n"
        );
        for field in fields {
            // Writing to a string cannot fail.
            let _ = writeln!(code, "            {field},");
        }
        code + "        }\n    }\n}\n"
    }
}

/// `key: Key { columns: &["uid"], values: vec![request.uid] }`
fn key_field(key: &[&str]) -> String {
    let values: Vec<String> = key.iter().map(|column| format!("std::mem::take(&mut request.{column})")).collect();
    format!("key: crate::requests::Key {{ columns: &{key:?}, values: vec![{}] }}", values.join(", "))
}

//! Generates the conversions of typed requests into those of `proto/requests.rs`: by the verb of their method and the
//! names of their fields. A request whose fields do not fit its verb fails the build.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::paths::Paths;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
};

/// Fields that have the same meaning in every request, and their types.
const KNOWN: &[(&str, Type)] = &[
    ("allow_missing", Type::Bool),
    ("etag", Type::String),
    ("filter", Type::Message),
    ("force", Type::Bool),
    ("keys", Type::Message),
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

/// The conversions of all requests.
///
/// # Errors
/// Which request does not fit its verb, and why.
pub(crate) fn generate(set: &FileDescriptorSet, paths: &Paths) -> Result<String, String> {
    let contract = Contract::of(set, paths);
    let mut conversions = BTreeMap::new();
    for file in set.file.iter().filter(|file| paths.generate(file.package())) {
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
    paths: &'c Paths,
}

impl<'c> Contract<'c> {
    fn of(set: &'c FileDescriptorSet, paths: &'c Paths) -> Self {
        let mut contract = Self { messages: BTreeMap::new(), enums: BTreeMap::new(), paths };
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
            "BatchGet" => request.batch_get(method.output_type()),
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
        if field.r#type() != *expected || repeated != matches!(name, "keys" | "uids") {
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
    fn key(&self) -> Result<Vec<&FieldDescriptorProto>, String> {
        let fields = self.message.field.iter();
        let key: Vec<_> = fields.take_while(|field| !KNOWN.iter().any(|(known, _)| *known == field.name())).collect();
        if key.is_empty() || !key.iter().all(|field| is_key_column(field)) {
            return Err("it must begin with the columns of a key, as strings and integers".to_owned());
        }
        Ok(key)
    }

    /// `crate::requests`
    fn module(&self) -> String {
        format!("{}::requests", self.contract.paths.root)
    }

    fn get(&self, resource: &str) -> Result<String, String> {
        let key = self.key()?;
        self.check_fields(&["read_mask", "view"], key.len())?;
        let fields = self.contract.messages.get(resource).map(|resource| &resource.field[..]).unwrap_or_default();
        let shape = |field: &FieldDescriptorProto| (field.name().to_owned(), field.r#type());
        if !fields.iter().map(shape).take(key.len()).eq(key.iter().copied().map(shape)) {
            return Err(format!("its key is not what {resource} begins with"));
        }
        Ok(self.from("Get", &[self.key_field(&key), self.taken("read_mask"), self.taken("view")]))
    }

    /// The rows that a request names: by their uids, or by a message of the key's columns for each.
    fn keys(&self) -> Result<Keys<'_>, String> {
        match (self.field("uids"), self.field("keys")) {
            (Some(_), None) => Ok(Keys::Uids),
            (None, Some(field)) => {
                let message = self.contract.messages.get(field.type_name()).ok_or("keys are of no known message")?;
                let columns: Vec<_> = message.field.iter().collect();
                let in_order = (1..).zip(&columns).all(|(number, field)| field.number() == number);
                if columns.is_empty() || !in_order || !columns.iter().all(|field| is_key_column(field)) {
                    return Err(
                        "keys are not the columns of a key, as strings and integers, numbered from 1".to_owned()
                    );
                }
                Ok(Keys::Messages(field.type_name(), columns))
            }
            _ => Err("it has not one of uids and keys".to_owned()),
        }
    }

    /// The rows that a request names, in code.
    fn keys_value(&self, keys: &Keys<'_>) -> String {
        let module = self.module();
        match keys {
            Keys::Uids => format!("{module}::Keys::of_uids(std::mem::take(&mut request.uids))"),
            Keys::Messages(_, columns) => {
                let names: Vec<&str> = columns.iter().map(|field| field.name()).collect();
                let values: Vec<String> = names.iter().map(|name| format!("key.r#{name}.into()")).collect();
                format!(
                    "{module}::Keys {{ field: \"keys\", columns: &{names:?}, \
                     rows: std::mem::take(&mut request.keys).into_iter().map(|key| vec![{}]).collect() }}",
                    values.join(", ")
                )
            }
        }
    }

    fn batch_get(&self, response: &str) -> Result<String, String> {
        self.check_fields(&["uids", "keys", "read_mask", "view"], 0)?;
        let keys = self.keys()?;
        let fields = self.contract.messages.get(response).map(|response| &response.field[..]).unwrap_or_default();
        match fields {
            [rows, missing] if rows.number() == 1 && missing.number() == 2 && keys.are_missing(missing) => {}
            _ => return Err(format!("{response} does not hold rows as field 1 and {} as field 2", keys.missing())),
        }
        let keys = format!("keys: {}", self.keys_value(&keys));
        Ok(self.from("BatchGet", &[keys, self.taken("read_mask"), self.taken("view")]))
    }

    /// A `force` is for the slice to look at: without it the resource is archived instead.
    fn delete(&self) -> Result<String, String> {
        let key = self.key()?;
        self.check_fields(&["etag", "revision", "allow_missing", "force"], key.len())?;
        let fields = ["etag", "revision", "allow_missing"].map(|name| self.taken(name));
        Ok(self.from("Delete", &[&[self.key_field(&key)], &fields[..]].concat()))
    }

    /// `key: Key { columns: &["uid"], values: vec![request.uid.into()] }`
    fn key_field(&self, key: &[&FieldDescriptorProto]) -> String {
        let names: Vec<&str> = key.iter().map(|field| field.name()).collect();
        let values: Vec<String> =
            names.iter().map(|name| format!("std::mem::take(&mut request.r#{name}).into()")).collect();
        format!("key: {}::Key {{ columns: &{names:?}, values: vec![{}] }}", self.module(), values.join(", "))
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
            Some(filter) => (self.rust_path(filter.type_name()), "request.filter"),
            None => (self.rust_path(self.name), "Some(request)"),
        };
        fields.push(format!("filter: {}::Filter::new({filter})", self.module()));
        Ok(self.from(&format!("{form}<{of}>"), &fields))
    }

    fn check(&self, response: &str) -> Result<String, String> {
        self.check_fields(&["uids", "keys"], 0)?;
        let keys = self.keys()?;
        let fields = self.contract.messages.get(response).map(|response| &response.field[..]).unwrap_or_default();
        match fields {
            [checked, missing]
                if (checked.name(), checked.r#type()) == ("checked", Type::Int64) && keys.are_missing(missing) => {}
            _ => return Err(format!("{response} does not hold checked and {}", keys.missing())),
        }
        let missing = match &keys {
            Keys::Uids => "missing_uids: missing.into_iter().flatten().map(Into::into).collect()".to_owned(),
            Keys::Messages(message, columns) => {
                let value = |field: &&FieldDescriptorProto| {
                    format!("r#{}: values.next().unwrap_or_default().into()", field.name())
                };
                let columns: Vec<String> = columns.iter().map(value).collect();
                format!(
                    "missing_keys: missing.into_iter().map(|key| {{ \
                     let mut values = key.into_iter(); {} {{ {} }} }}).collect()",
                    self.rust_path(message),
                    columns.join(", ")
                )
            }
        };
        let keys = self.keys_value(&keys);
        let (request, response, module) = (self.rust_path(self.name), self.rust_path(response), self.module());
        Ok(format!(
            "impl {module}::Check for {request} {{\n    \
                 type Response = {response};\n\n    \
                 fn keys(self) -> {module}::Keys {{\n        \
                     let mut request = self;\n        \
                     {keys}\n    \
                 }}\n\n    \
                 fn response(checked: i64, missing: Vec<Vec<{module}::KeyValue>>) -> {response} {{\n        \
                     {response} {{ checked, {missing} }}\n    \
                 }}\n\
             }}\n"
        ))
    }

    fn rust_path(&self, message: &str) -> String {
        self.contract.paths.of(message)
    }

    /// A field with its value in the request, or with none where the request has no such field.
    fn taken(&self, name: &str) -> String {
        match self.field(name) {
            Some(_) => format!("{name}: std::mem::take(&mut request.{name})"),
            None => format!("{name}: Default::default()"),
        }
    }

    fn from(&self, form: &str, fields: &[String]) -> String {
        let request = self.rust_path(self.name);
        let mut code = format!(
            "impl From<{request}> for {}::{form} {{\n    fn from(mut request: {request}) -> Self {{\n        Self {{\n",
            self.module()
        );
        for field in fields {
            // Writing to a string cannot fail.
            let _ = writeln!(code, "            {field},");
        }
        code + "        }\n    }\n}\n"
    }
}

/// How a request names rows.
enum Keys<'c> {
    /// By the texts that are their keys.
    Uids,
    /// By a message for each: its name and its fields, which are the key's columns.
    Messages(&'c str, Vec<&'c FieldDescriptorProto>),
}

impl Keys<'_> {
    /// The field of an answer that holds those that are missing.
    fn missing(&self) -> &'static str {
        match self {
            Self::Uids => "missing_uids",
            Self::Messages(..) => "missing_keys",
        }
    }

    /// Whether a field of an answer is that field.
    fn are_missing(&self, field: &FieldDescriptorProto) -> bool {
        let fits = match self {
            Self::Uids => field.r#type() == Type::String,
            Self::Messages(message, _) => field.type_name() == *message,
        };
        fits && field.name() == self.missing() && field.label() == Label::Repeated
    }
}

/// Whether a field can be a column of a key.
fn is_key_column(field: &FieldDescriptorProto) -> bool {
    matches!(field.r#type(), Type::String | Type::Int32 | Type::Int64) && field.label() != Label::Repeated
}

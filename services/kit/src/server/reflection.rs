//! Reflection in both versions. It answers with the descriptors' bytes as they were compiled: tonic's own service
//! decodes them into types that have no room for options which a contract declares, such as the rules of its fields.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, Streaming};

/// A `google.protobuf.FileDescriptorSet` whose files stay encoded.
#[derive(Clone, PartialEq, prost::Message)]
struct EncodedFiles {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

/// What the services describe, by every name that a client may ask for.
#[derive(Debug, Default)]
struct Described {
    services: Vec<String>,
    files: HashMap<String, Bytes>,
    /// The file that declares a symbol, by the symbol's full name.
    symbols: HashMap<String, Bytes>,
    /// The files that declare extensions, by what is extended and the extension's number.
    extensions: HashMap<String, Vec<(i32, Bytes)>>,
}

impl Described {
    fn of(sets: &[&'static [u8]]) -> anyhow::Result<Self> {
        let mut described = Self::default();
        for set in sets {
            for encoded in EncodedFiles::decode(Bytes::from_static(set))?.files {
                let file = FileDescriptorProto::decode(&*encoded)?;
                if !described.files.contains_key(file.name()) {
                    described.add(&file, &encoded);
                }
            }
        }
        Ok(described)
    }

    fn add(&mut self, file: &FileDescriptorProto, encoded: &Bytes) {
        self.files.insert(file.name().to_owned(), encoded.clone());
        let within = file.package();
        file.message_type.iter().for_each(|message| self.add_message(within, message, encoded));
        file.enum_type.iter().for_each(|each| self.add_enum(within, each, encoded));
        file.extension.iter().for_each(|field| self.add_extension(within, field, encoded));
        for service in &file.service {
            let name = self.add_symbol(within, service.name(), encoded);
            service.method.iter().for_each(|method| drop(self.add_symbol(&name, method.name(), encoded)));
        }
    }

    fn add_message(&mut self, within: &str, message: &DescriptorProto, encoded: &Bytes) {
        let name = self.add_symbol(within, message.name(), encoded);
        message.field.iter().for_each(|field| drop(self.add_symbol(&name, field.name(), encoded)));
        message.oneof_decl.iter().for_each(|oneof| drop(self.add_symbol(&name, oneof.name(), encoded)));
        message.nested_type.iter().for_each(|nested| self.add_message(&name, nested, encoded));
        message.enum_type.iter().for_each(|each| self.add_enum(&name, each, encoded));
        message.extension.iter().for_each(|field| self.add_extension(&name, field, encoded));
    }

    fn add_enum(&mut self, within: &str, each: &EnumDescriptorProto, encoded: &Bytes) {
        self.add_symbol(within, each.name(), encoded);
        // The values of an enum stand beside it.
        each.value.iter().for_each(|value| drop(self.add_symbol(within, value.name(), encoded)));
    }

    fn add_extension(&mut self, within: &str, field: &FieldDescriptorProto, encoded: &Bytes) {
        self.add_symbol(within, field.name(), encoded);
        let extended = field.extendee().trim_start_matches('.').to_owned();
        self.extensions.entry(extended).or_default().push((field.number(), encoded.clone()));
    }

    fn add_symbol(&mut self, within: &str, name: &str, encoded: &Bytes) -> String {
        let name = if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
        self.symbols.insert(name.clone(), encoded.clone());
        name
    }

    /// The file that declares the extension of a message by this number.
    fn extension(&self, extended: &str, number: i32) -> Option<&Bytes> {
        let (_, file) = self.extensions.get(extended)?.iter().find(|(of, _)| *of == number)?;
        Some(file)
    }

    /// The numbers of a message's extensions; `None` if there is no such message.
    fn extension_numbers(&self, extended: &str) -> Option<Vec<i32>> {
        let numbers = self.extensions.get(extended).map(|all| all.iter().map(|(number, _)| *number).collect());
        numbers.or_else(|| self.symbols.contains_key(extended).then(Vec::new))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

macro_rules! reflection {
    ($version:ident) => {
        mod $version {
            use super::*;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest as Question;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse as Answer;
            use tonic_reflection::pb::$version::server_reflection_server::{ServerReflection, ServerReflectionServer};
            use tonic_reflection::pb::$version::{
                ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
                ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
            };

            #[derive(Debug)]
            pub(super) struct Reflection(Arc<Described>);

            pub(super) fn service(described: &Arc<Described>) -> ServerReflectionServer<Reflection> {
                ServerReflectionServer::new(Reflection(described.clone()))
            }

            fn answer(described: &Described, question: Option<&Question>) -> Answer {
                let file = |file: Option<&Bytes>| {
                    let file_descriptor_proto = vec![file?.to_vec()];
                    Some(Answer::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto }))
                };
                let refused = |code: Code, why: String| {
                    let (error_code, error_message) = (code.into(), why);
                    Answer::ErrorResponse(ErrorResponse { error_code, error_message })
                };
                let (found, what) = match question {
                    None => return refused(Code::InvalidArgument, "the request asks for nothing".to_owned()),
                    Some(Question::ListServices(_)) => {
                        let named = |name: &String| ServiceResponse { name: name.clone() };
                        let service = described.services.iter().map(named).collect();
                        return Answer::ListServicesResponse(ListServiceResponse { service });
                    }
                    Some(Question::FileByFilename(name)) => (file(described.files.get(name)), format!("file {name}")),
                    Some(Question::FileContainingSymbol(name)) => {
                        (file(described.symbols.get(name)), format!("symbol {name}"))
                    }
                    Some(Question::FileContainingExtension(of)) => {
                        let declared = described.extension(&of.containing_type, of.extension_number);
                        (file(declared), format!("extension {} of {}", of.extension_number, of.containing_type))
                    }
                    Some(Question::AllExtensionNumbersOfType(name)) => {
                        let numbers = described.extension_numbers(name).map(|extension_number| {
                            let base_type_name = name.clone();
                            Answer::AllExtensionNumbersResponse(ExtensionNumberResponse {
                                base_type_name,
                                extension_number,
                            })
                        });
                        (numbers, format!("message {name}"))
                    }
                };
                found.unwrap_or_else(|| {
                    refused(Code::NotFound, format!("there is no {}", what.chars().take(300).collect::<String>()))
                })
            }

            #[tonic::async_trait]
            impl ServerReflection for Reflection {
                type ServerReflectionInfoStream = Answers<ServerReflectionResponse>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let (described, mut questions) = (self.0.clone(), request.into_inner());
                    Ok(Response::new(Box::pin(async_stream::try_stream! {
                        while let Some(request) = questions.message().await? {
                            let answer = answer(&described, request.message_request.as_ref());
                            yield ServerReflectionResponse {
                                valid_host: request.host.clone(),
                                original_request: Some(request),
                                message_response: Some(answer),
                            };
                        }
                    })))
                }
            }
        }
    };
}

reflection!(v1);
reflection!(v1alpha);

/// Adds both versions of reflection. They list these services and describe what the sets hold.
///
/// # Errors
/// A set that cannot be decoded.
pub(super) fn with_reflection(
    routes: Routes,
    sets: &[&'static [u8]],
    services: impl IntoIterator<Item = String>,
) -> anyhow::Result<Routes> {
    let described = Described::of(sets)?;
    // A name without a description would break the clients that list and then describe.
    let services = services.into_iter().filter(|name| described.symbols.contains_key(name)).collect();
    let described = Arc::new(Described { services, ..described });
    Ok(routes.add_service(v1::service(&described)).add_service(v1alpha::service(&described)))
}

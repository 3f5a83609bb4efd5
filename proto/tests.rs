//! What generated clients in other languages rely on, which no compiler of Rust looks at.

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet, FileOptions};

use crate::FILE_DESCRIPTOR_SET;
use crate::r#type::v1::RowErrorCode;

fn own_files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("what is compiled in can be decoded");
    set.file.into_iter().filter(|file| file.package().starts_with("orrery.")).collect()
}

/// `product_metric` as `ProductMetric`.
fn upper_camel(snake: &str) -> String {
    snake.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

// Without these options a client's classes stand in packages that its language does not expect, and to add them later
// renames every class.
#[test]
fn every_file_says_where_its_code_belongs_in_other_languages() {
    let files = own_files();
    assert!(files.len() >= 9, "{}", files.len());
    for file in files {
        let package: Vec<&str> = file.package().split('.').collect();
        let [_, name, version] = package[..] else { unreachable!("{}", file.package()) };
        let stem = file.name().rsplit('/').next().and_then(|name| name.strip_suffix(".proto")).expect("a .proto file");
        let expected = FileOptions {
            csharp_namespace: Some(package.iter().map(|part| upper_camel(part)).collect::<Vec<_>>().join(".")),
            go_package: Some(format!("orrery/proto/{};{name}{version}", package.join("/"))),
            java_multiple_files: Some(true),
            java_outer_classname: Some(format!("{}Proto", upper_camel(stem))),
            java_package: Some(format!("com.{}", file.package())),
            ..FileOptions::default()
        };
        assert_eq!(file.options, Some(expected), "{}", file.name());
    }
}

// Keywords of Kotlin, Java, Go, C#, Swift, Python, Ruby and JavaScript that a field or oneof may not be called, or only
// in quotes.
#[test]
fn no_name_is_a_keyword_of_a_language_that_clients_are_generated_for() {
    let keywords = [
        "abstract",
        "and",
        "as",
        "async",
        "await",
        "begin",
        "break",
        "by",
        "case",
        "catch",
        "chan",
        "class",
        "const",
        "constructor",
        "continue",
        "def",
        "default",
        "defer",
        "del",
        "delegate",
        "delete",
        "do",
        "else",
        "end",
        "enum",
        "event",
        "except",
        "export",
        "extends",
        "extension",
        "false",
        "final",
        "finally",
        "fixed",
        "for",
        "from",
        "fun",
        "func",
        "function",
        "get",
        "global",
        "go",
        "goto",
        "guard",
        "if",
        "import",
        "in",
        "init",
        "inner",
        "instanceof",
        "interface",
        "internal",
        "is",
        "lambda",
        "let",
        "lock",
        "map",
        "message",
        "namespace",
        "native",
        "new",
        "nil",
        "not",
        "null",
        "object",
        "operator",
        "or",
        "out",
        "override",
        "package",
        "params",
        "pass",
        "private",
        "protected",
        "protocol",
        "public",
        "raise",
        "range",
        "ref",
        "repeat",
        "return",
        "select",
        "self",
        "set",
        "static",
        "struct",
        "super",
        "switch",
        "synchronized",
        "this",
        "throw",
        "true",
        "try",
        "type",
        "typeof",
        "unless",
        "until",
        "using",
        "val",
        "var",
        "void",
        "volatile",
        "when",
        "where",
        "while",
        "with",
        "yield",
    ];
    // In no language that is generated for is `end` of a range or `message` of an error out of reach; both are the
    // words that everybody uses for it. `type` of a combo is the word of its identifier's format, and the key in
    // bodies.
    let accepted = [
        "orrery.type.v1.TimeRange.end",
        "orrery.type.v1.RowError.message",
        "orrery.records.v1.ImportError.message",
        "orrery.records.v1.ComboTemplate.type",
        "orrery.records.v1.ComboReport.type",
    ];
    for file in own_files() {
        for message in &file.message_type {
            let fields = message.field.iter().map(prost_types::FieldDescriptorProto::name);
            let oneofs = message.oneof_decl.iter().map(prost_types::OneofDescriptorProto::name);
            for name in fields.chain(oneofs).filter(|name| keywords.contains(name)) {
                let path = format!("{}.{}.{name}", file.package(), message.name());
                assert!(accepted.contains(&path.as_str()), "{path}");
            }
        }
    }
}

#[test]
fn the_codes_of_rows_are_those_of_calls() {
    for number in 0..=16 {
        let Ok(code) = RowErrorCode::try_from(number) else { continue };
        let of_calls: String = format!("{:?}", tonic::Code::from_i32(number)).chars().fold(
            String::from("ROW_ERROR_CODE"),
            |name, letter| {
                let gap = if letter.is_uppercase() { "_" } else { "" };
                format!("{name}{gap}{}", letter.to_ascii_uppercase())
            },
        );
        let expected = if number == 0 { "ROW_ERROR_CODE_UNSPECIFIED" } else { &of_calls };
        assert_eq!(code.as_str_name(), expected);
    }
}

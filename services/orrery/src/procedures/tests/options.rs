//! Which command lines are taken, and which service they are for.

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::{Cli, Command};
use crate::procedures::Action;

fn parse(line: &str) -> Result<Action, ErrorKind> {
    let words = ["orrery", "procedures"].into_iter().chain(line.split(' '));
    match Cli::try_parse_from(words).map_err(|error| error.kind())?.command {
        Command::Procedures(command) => Ok(command.action),
        other => panic!("{other:?}"),
    }
}

/// The addresses of the services that a command asks.
fn addresses(line: &str) -> Vec<String> {
    let targets = match parse(line).unwrap() {
        Action::List(options) => options.service.targets().unwrap(),
        Action::Executions(options) => options.service.targets().unwrap(),
        Action::Run(options) => return vec![options.service.address().unwrap().to_string()],
        Action::Watch(options) => return vec![options.service.address().unwrap().to_string()],
        Action::Cancel(options) => return vec![options.service.address().unwrap().to_string()],
        Action::Schedule(options) => return vec![options.service.address().unwrap().to_string()],
        Action::Orphans(options) => return vec![options.service.address().unwrap().to_string()],
    };
    targets.iter().map(|target| format!("{} {}", target.name, target.address)).collect()
}

#[test]
fn a_command_is_for_one_service_at_an_address_or_at_the_default_one() {
    let all = ["catalog 127.0.0.1:50051", "orders 127.0.0.1:50052", "records 127.0.0.1:50053"];
    assert_eq!(addresses("list"), all);
    assert_eq!(addresses("executions --limit 3"), all);
    assert_eq!(addresses("list --orders"), all[1..2]);
    assert_eq!(addresses("list --records host:7"), ["records host:7"]);
    for command in ["run x", "watch exe_1", "cancel exe_1", "schedule x --off", "orphans"] {
        for (option, address) in [
            ("--catalog", "127.0.0.1:50051"),
            ("--orders", "127.0.0.1:50052"),
            ("--records", "127.0.0.1:50053"),
            ("--catalog host:7", "host:7"),
            ("--orders=http://host:7", "host:7"),
            ("--records --patience 1", "127.0.0.1:50053"),
        ] {
            assert_eq!(addresses(&format!("{command} {option}")), [address], "{command} {option}");
        }
        assert_eq!(parse(command).unwrap_err(), ErrorKind::MissingRequiredArgument, "{command}");
        for line in ["--catalog --orders", "--catalog a:1 --records b:2"] {
            let kind = parse(&format!("{command} {line}")).unwrap_err();
            assert_eq!(kind, ErrorKind::ArgumentConflict, "{command} {line}");
        }
    }
    assert_eq!(parse("list --catalog --orders").unwrap_err(), ErrorKind::ArgumentConflict);
    // The name is taken for the address: the message says what to do.
    let words = ["orrery", "procedures", "run", "--catalog", "detect_orphans"];
    let message = Cli::try_parse_from(words).unwrap_err().to_string();
    assert!(message.contains("without an address, let the option be the last one"), "{message}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (line, kind) in [
        ("run --catalog", ErrorKind::MissingRequiredArgument),
        ("run x dry_run --catalog", ErrorKind::ValueValidation),
        ("run x --request-id= --catalog", ErrorKind::ValueValidation),
        ("run x --request-id=é --catalog", ErrorKind::ValueValidation),
        ("schedule x --catalog", ErrorKind::MissingRequiredArgument),
        ("schedule x --every 0s --catalog", ErrorKind::ValueValidation),
        ("schedule x --every 5 --catalog", ErrorKind::ValueValidation),
        ("schedule x --every 1h --off --catalog", ErrorKind::ArgumentConflict),
        ("schedule x a=1 --off --catalog", ErrorKind::ArgumentConflict),
        ("schedule x --off --jitter 1m --catalog", ErrorKind::ArgumentConflict),
        ("schedule x --jitter 1m --catalog", ErrorKind::MissingRequiredArgument),
        ("executions --limit 0", ErrorKind::ValueValidation),
        ("executions --phase done", ErrorKind::InvalidValue),
    ] {
        assert_eq!(parse(line).map(|action| format!("{action:?}")), Err(kind), "{line}");
    }
    for line in [
        "run x a=1 b=c=d --wait --request-id nightly --catalog",
        "schedule x a=1 --every 1h --jitter 5m --catalog",
        "orphans --relation a.b.c --relation d.e.f --candidates --json --resume-token t --orders",
        "executions --procedure a --procedure b --phase failed --phase running --records",
    ] {
        parse(line).unwrap();
    }
}

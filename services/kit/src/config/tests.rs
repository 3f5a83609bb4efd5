#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const BINARY: Binary = Binary { name: "orrery-test", about: "A service under test", listen: "127.0.0.1:50051" };
const SECRET: &str = "hunter2";

fn config() -> ServiceConfig {
    ServiceConfig::for_database(&format!("postgres://me:{SECRET}@db.example:6432/shop")).unwrap()
}

fn parse(arguments: &[&str]) -> Result<ServiceConfig, clap::Error> {
    let all = ["orrery-test", "--database-url=postgres://me@localhost/shop"].iter().chain(arguments);
    ServiceConfig::from_arguments(BINARY, all)
}

#[test]
fn defaults_are_those_of_the_design() {
    let config = config();
    assert_eq!(config.limits.max_query_rows, 100_000);
    assert_eq!(config.limits.max_statement_rows, 100_000);
    assert_eq!(config.limits.max_result_bytes, 64 << 20);
    assert_eq!(config.limits.transaction_timeout, Duration::from_secs(20));
    assert_eq!(config.limits.statement_timeout, Duration::from_secs(900));
    assert_eq!((config.database.database_pool_min, config.database.database_pool_max), (2, 16));
    assert_eq!(config.database.database_pooler, DatabasePooler::None);
    assert!(!config.listen.insecure);
}

#[test]
fn each_binary_has_its_address() {
    assert_eq!(parse(&[]).unwrap().listen.address.to_string(), "127.0.0.1:50051");
    assert_eq!(parse(&["--listen", "[::1]:7"]).unwrap().listen.address.to_string(), "[::1]:7");
}

#[test]
fn other_machines_are_let_in_only_by_saying_so() {
    for address in ["0.0.0.0:1", "[::]:1", "192.168.1.4:1", "[::ffff:10.0.0.1]:1"] {
        let refused = parse(&["--listen", address]).unwrap_err().to_string();
        assert!(refused.contains("--insecure") && refused.contains("neither TLS nor authentication"), "{refused}");
        parse(&["--listen", address, "--insecure"]).unwrap();
    }
    for address in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        parse(&["--listen", address]).unwrap();
    }
}

#[test]
fn no_message_holds_the_password() {
    let config = config();
    assert!(config.database.database_url.expose().contains(SECRET));
    assert_eq!(config.database.database_url.to_string(), "postgres://me@db.example:6432/shop");
    assert!(!format!("{config:?}").contains(SECRET), "{config:?}");

    // The help shows what the environment holds.
    let command = ServiceConfig::command(BINARY);
    for name in ["database_url", "database_replica_url"] {
        let url = command.get_arguments().find(|argument| argument.get_id() == name).unwrap();
        assert!(url.is_hide_env_values_set(), "{name}");
    }

    for url in ["mysql://me:hunter2@x/y", "postgres://me:hunter2@host:port/y", "hunter2", "postgres://me@[hunter2]/x"] {
        let refused = ServiceConfig::for_database(url).unwrap_err();
        assert_eq!(refused.flag, "database-url");
        assert!(!format!("{refused} {refused:?}").contains(SECRET), "{refused}");
        let printed = ServiceConfig::from_arguments(BINARY, ["x", "--database-url", url]).unwrap_err().to_string();
        assert!(!printed.contains(SECRET), "{printed}");
        let refused = parse(&["--database-replica-url", url]).unwrap_err().to_string();
        assert!(refused.contains("--database-replica-url") && !refused.contains(SECRET), "{refused}");
    }
}

#[test]
fn a_transaction_pooler_takes_no_session_options() {
    let pooled = |url: &str| {
        ServiceConfig::from_arguments(BINARY, ["x", "--database-pooler=transaction", "--database-url", url])
    };
    let config = pooled("postgres://me@localhost:6432/shop?sslmode=require").unwrap();
    assert_eq!(config.database.database_pooler, DatabasePooler::Transaction);
    let refused = pooled("postgres://me@localhost:6432/shop?options=-csearch_path%3Dx").unwrap_err().to_string();
    assert!(refused.contains("--database-url") && !refused.contains("search_path"), "{refused}");
}

#[test]
fn settings_that_contradict_each_other_are_refused_by_name() {
    for (arguments, flag) in [
        (&["--database-pool-min=9", "--database-pool-max=8"][..], "database-pool-min"),
        (&["--database-pool-min=0", "--database-pool-max=0"], "database-pool-max"),
        (&["--database-acquire-timeout=0s"], "database-acquire-timeout"),
        (&["--database-replica-wait=0s"], "database-replica-wait"),
        (&["--database-keepalive=999ms"], "database-keepalive"),
        (&["--database-tcp-user-timeout=600h"], "database-tcp-user-timeout"),
        (&["--page-bytes=2MiB", "--max-result-bytes=1MiB"], "page-bytes"),
        (&["--write-batch-rows=5000", "--max-statement-rows=4999"], "write-batch-rows"),
        (&["--statement-timeout=0s"], "statement-timeout"),
        (&["--transaction-timeout=600h"], "transaction-timeout"),
        (&["--max-message-bytes=3GiB"], "max-message-bytes"),
        (&["--http2-stream-window=1KiB"], "http2-stream-window"),
        (&["--max-concurrent-streams=0"], "max-concurrent-streams"),
        (&["--max-metadata-bytes=4095"], "max-metadata-bytes"),
        (&["--max-metadata-bytes=2MiB"], "max-metadata-bytes"),
        (&["--compress-responses=gzip,br"], "compress-responses"),
        (&["--max-concurrent-calls=0"], "max-concurrent-calls"),
        (&["--max-open-streams=0"], "max-open-streams"),
        (&["--log=orrery=loud"], "log"),
        (&["--drain-timeout=20"], "drain-timeout"),
    ] {
        let refused = parse(arguments).unwrap_err().to_string();
        assert!(refused.contains(&format!("--{flag}")), "{arguments:?}: {refused}");
    }
}

/// The help is the manual: it says for every setting what it is, its default and its variable.
#[test]
fn the_help_explains_every_setting() {
    let mut command = ServiceConfig::command(BINARY);
    let help = command.render_long_help().to_string();
    for argument in
        command.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
    {
        let flag = argument.get_long().unwrap();
        let start = help.find(&format!("\n      --{flag}")).unwrap();
        let end = help[start + 1..].find("\n      --").map_or(help.len(), |at| start + 1 + at);
        let section = &help[start..end];
        let has_default = section.contains("[default:") || section.contains("Default:");
        assert!(has_default || argument.is_required_set(), "{flag} shows no default:\n{section}");
        assert!(section.contains("[env:"), "{flag} shows no variable:\n{section}");
        assert!(section.contains("\n          "), "{flag} is not explained:\n{section}");
    }
    assert!(
        help.contains("--database-url <URL>") && help.contains("[default: 64MiB]") && help.contains("[default: 20s]")
    );
}

#[test]
fn a_service_without_a_database_url_does_not_start() {
    let command = ServiceConfig::command(BINARY).mut_args(|argument| argument.env(None::<&str>));
    assert!(command.try_get_matches_from(["x"]).unwrap_err().to_string().contains("--database-url"));
}

#[test]
fn units_are_read() {
    assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
    assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(parse_bytes("16MiB"), Ok(16 << 20));
    assert_eq!(parse_bytes("2 kB"), Ok(2000));
    assert_eq!(parse_bytes("77"), Ok(77));
    for text in ["", "20", "s", "1.5s", "-1s", "1d", "99999999999999999999s", "18446744073709551615h"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
    for text in ["", "MiB", "-1B", "1.5MiB", "1TiB", "18446744073709551615GiB"] {
        assert!(parse_bytes(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(milliseconds in any::<u32>(), bytes in any::<u32>(), shift in 0..12u32) {
        let duration = Duration::from_millis(u64::from(milliseconds) << shift);
        prop_assert_eq!(parse_duration(&HumanDuration(duration).to_string()), Ok(duration));
        let bytes = (bytes as usize) << shift;
        prop_assert_eq!(parse_bytes(&ByteSize(bytes).to_string()), Ok(bytes));
    }

    #[test]
    fn no_text_breaks_the_parsers(text in ".*") {
        let _ = (parse_duration(&text), parse_bytes(&text));
    }
}

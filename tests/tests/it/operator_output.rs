//! What the command does where its answer cannot be written, where nobody reads it, and where what it reads has no
//! end: it never panics, and nothing that was lost passes for success.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgPool;

use crate::harness::operator::{CommandResult, ended, orrery, run};
use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase};

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (_reader, writer) = nix::unistd::pipe().unwrap();
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

async fn run_to(stdout: Stdio, arguments: &[&str]) -> CommandResult {
    ended(orrery(arguments).stdout(stdout).spawn().unwrap()).await
}

/// Runs the command through a shell, after `before` and with redirections `behind`.
async fn run_in_shell(before: &str, arguments: &[&str], behind: &str) -> CommandResult {
    let program = orrery(arguments);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before} exec \"$0\" \"$@\" {behind}")]).arg(program.get_program());
    shell.args(program.get_args()).current_dir(program.get_current_dir().unwrap());
    ended(shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).await
}

const NO_ROOM: &str = "orrery: standard output cannot be written: No space left on device";

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_ends_quietly_and_one_that_is_lost_does_not_pass_for_success() {
    let database = TestDatabase::create().await;
    let url = format!("--database-url={}", database.url(Role::Operator));
    let folder = tempfile::tempdir().unwrap();
    let new = format!("--migrations={}", folder.path().display());
    for (place, arguments) in [
        &["--help"][..],
        &["--version"],
        &["help", "export"],
        &["export", "products", "--help"],
        &["import", "orders", "--help"],
        &["procedures", "run", "--help"],
        &["migrate", "--help"],
        &["serve", "catalog", "--help"],
        &["serve", "orders", "--version"],
        &["migrate", "status", &url],
        &["migrate", "up", &url],
        &["doctor", &url],
        &["migrate", "new", "one", &new],
        &["link", folder.path().to_str().unwrap()],
    ]
    .into_iter()
    .enumerate()
    {
        let quiet = run_to(unread(), arguments).await;
        assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(141), ""), "{arguments:?}");
        for left in std::fs::read_dir(folder.path()).unwrap() {
            std::fs::remove_file(left.unwrap().path()).unwrap();
        }
        let lost = run_to(full(), arguments).await;
        assert_eq!(lost.code, Some(1), "{place} {arguments:?}: {lost:?}");
        assert!(lost.stderr.starts_with(NO_ROOM) && lost.stderr.lines().count() == 1, "{arguments:?}: {lost:?}");
    }
}

/// Where standard error is closed, unread or full the exit code still tells.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_tell_is_no_reason_to_break() {
    for (arguments, code) in [
        (&["migrate", "status", "--database-url=postgres://nobody@127.0.0.1:1/x"][..], 1),
        (&["export", "products", "--catalog=127.0.0.1:1", "--patience=0"], 1),
        (&["import", "products", "/nowhere/x.jsonl"], 1),
        (&["procedures", "list", "--catalog=127.0.0.1:1", "--patience=0"], 1),
        (&["procedures", "orphans", "--catalog=127.0.0.1:1", "--patience=0"], 1),
        (&["import", "products", "/dev/null", "--format=jsonl", "--catalog=127.0.0.1:1", "--patience=0"], 1),
        (&["nonsense"], 2),
        (&["serve", "catalog", "--nonsense"], 2),
    ] {
        for stderr in [full(), unread()] {
            let ended = ended(orrery(arguments).stderr(stderr).spawn().unwrap()).await;
            assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        }
        let closed = run_in_shell("", arguments, "2>&-").await;
        assert_eq!(closed.code, Some(code), "{arguments:?}: {closed:?}");
    }
}

async fn fill(pool: &PgPool, rows: i32) {
    let query = "insert into catalog.product (uid, name) \
                 select 'prd_' || lpad(n::text, 6, '0'), repeat('n', 400) from generate_series(1, $1) n";
    sqlx::query(query).bind(rows).execute(pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_cannot_be_written_fails_and_says_where_to_go_on() {
    let database = TestDatabase::create().await;
    fill(&database.pool(Role::Catalog).await, 60_000).await;
    let catalog = CatalogServer::start(&database).await;
    let address = format!("--catalog={}", catalog.address());
    let export = ["export", "products", &address];

    let closed = run_in_shell("", &export, ">&-").await;
    assert_eq!(closed.code, Some(1), "{closed:?}");
    assert!(closed.stderr.starts_with("orrery: standard output is closed; name a file"), "{closed:?}");
    // Open for reading alone: the write fails, and the library of the language would take that for success.
    let unwritable = run_in_shell("", &export, "1< /dev/null").await;
    assert_eq!(unwritable.code, Some(1), "{unwritable:?}");
    assert!(unwritable.stderr.contains("after 0 products: standard output cannot be written"), "{unwritable:?}");
    let null = run_in_shell("", &export, "> /dev/null").await;
    assert_eq!(null.code, Some(0), "{null:?}");
    for output in ["--output=-", "--output=/dev/full"] {
        let lost = run_to(full(), &[&export[..], &[output]].concat()).await;
        assert_eq!(lost.code, Some(1), "{lost:?}");
        let message = "orrery: the export ended early, after 0 products: ";
        assert!(lost.stderr.starts_with(message) && lost.stderr.contains("No space left on device"), "{lost:?}");
    }

    let folder = tempfile::tempdir().unwrap();
    let (file, partial) = (folder.path().join("x.jsonl"), folder.path().join("x.jsonl.partial"));
    let output = format!("--output={}", file.display());
    let export = [&export[..], &[&output]].concat();
    // As on a disk that fills up in the middle; in blocks of 512 bytes.
    let lost = run_in_shell("trap '' XFSZ; ulimit -f 30000;", &export, "").await;
    assert_eq!((lost.code, file.exists()), (Some(1), false), "{lost:?}");
    let rows = std::fs::read_to_string(&partial).unwrap();
    assert!(rows.ends_with('\n') && !rows.is_empty(), "{} bytes", rows.len());
    let message = format!("after {} products, in {}: ", rows.lines().count(), partial.display());
    assert!(lost.stderr.contains(&message), "{message}: {lost:?}");
    let token = lost.stderr.trim().rsplit_once("; to continue, add --resume-token ").unwrap().1;
    let rest = run(&[&export[..], &["--resume-token", token]].concat()).await;
    assert_eq!((rest.code, partial.exists()), (Some(0), false), "{rest:?}");
    let whole = std::fs::read_to_string(&file).unwrap();
    let uids: Vec<&str> = whole.lines().map(|line| &line[8..18]).collect();
    let expected: Vec<String> = (1..=60_000).map(|row| format!("prd_{row:06}")).collect();
    assert!(uids == expected, "{} rows came", uids.len());

    let folder = format!("--output={}", folder.path().display());
    let refused = run(&["export", "products", &address, &folder]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("is a folder; --output must be a file"), "{refused:?}");
}

const MAPPING: &str = "\
[group]
by = \"uid\"
[fields]
uid = { column = \"order\", prefix = \"ord_\" }
currency_code = { value = \"EUR\" }
[[line_items]]
[line_items.fields]
sku = { column = \"sku\" }
quantity = { column = \"count\" }
";

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_summary_is_lost_has_gone_in_and_does_not_end_well() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Orders).await;
    let server = OrdersServer::start(&database).await;
    let address = format!("--orders={}", server.address());
    let folder = tempfile::tempdir().unwrap();
    let (file, mapping) = (folder.path().join("x.csv"), folder.path().join("x.toml"));
    std::fs::write(&mapping, MAPPING).unwrap();
    let mapping = format!("--mapping={}", mapping.display());
    let import = ["import", "orders", file.to_str().unwrap(), &mapping, &address];
    for (stdout, code, orders) in [(full(), 1, 1), (unread(), 141, 2)] {
        std::fs::write(&file, format!("order,sku,count\n{orders},a,1\n")).unwrap();
        let ended = run_to(stdout, &import).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.stderr.contains(NO_ROOM), code == 1, "{ended:?}");
        let stored: i64 =
            sqlx::query_scalar("select count(*) from orders.order_header").fetch_one(&pool).await.unwrap();
        assert_eq!(stored, orders);
    }
    let nothing =
        run_in_shell("", &["import", "products", "-", "--format=jsonl", "--catalog=127.0.0.1:1"], "<&-").await;
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("standard input is closed"), "{nothing:?}");
}

#[tokio::test]
async fn what_has_no_end_is_not_read_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let zero = folder.path().join("20260102030405_zero.sql");
    std::os::unix::fs::symlink("/dev/zero", zero).unwrap();
    let migrations = format!("--migrations={}", folder.path().display());
    let url = "--database-url=postgres://nobody@127.0.0.1:1/x";
    for (arguments, message) in [
        (
            &["import", "products", "x.csv", "--mapping=/dev/zero"][..],
            "/dev/zero cannot be read: it has more than 1 MiB",
        ),
        (&["import", "products", "x.csv", "--mapping=/dev"], "/dev cannot be read: it is a folder"),
        (&["migrate", "status", url, &migrations], "zero.sql: it has more than 16 MiB"),
        (
            &["migrate", "status", &format!("{url}?sslmode=require&sslrootcert=/dev/zero")],
            "must be a regular file of at most 1 MiB",
        ),
    ] {
        let refused = run_in_shell("ulimit -v 4000000;", arguments, "").await;
        assert_eq!(refused.code, Some(1), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(message), "{arguments:?}: {refused:?}");
    }
}

/// The files that a process has open in a folder, or had before their names were taken away.
fn open_in(pid: u32, folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let names = files.filter_map(|file| Some(std::fs::read_link(file.path()).ok()?.to_string_lossy().into_owned()));
    names.filter(|name| name.starts_with(folder.to_str().unwrap())).collect()
}

/// The same command, without the signals that this process ignores.
fn with_default_signals(command: &Command) -> Command {
    let mut defaults = Command::new("env");
    defaults.arg("--default-signal").arg(command.get_program()).args(command.get_args());
    defaults.current_dir(command.get_current_dir().unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    defaults
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_memory_does_not_hold_leave_no_file_whatever_ends_the_import() {
    let (folder, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mapping = folder.path().join("x.toml");
    std::fs::write(&mapping, MAPPING).unwrap();
    let mapping = format!("--mapping={}", mapping.display());
    let temp_dir = format!("--temp-dir={}", temporary.path().display());
    // A service that takes connections and says nothing: one that is not there is given up after five seconds.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let orders = format!("--orders={}", silent.local_addr().unwrap());
    let arguments = ["import", "orders", "-", "--format=csv", &mapping, &temp_dir, "--group-memory=0", &orders];
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        // Who runs the tests in the background has SIGINT ignored, and what he starts with him.
        let import = with_default_signals(&orrery(&arguments)).stdin(reader).spawn().unwrap();
        nix::unistd::write(&writer, b"order,sku,count\n1,a,1\n2,b,1\n1,c,1\n").unwrap();
        let held = async {
            while open_in(import.id(), temporary.path()).len() < 3 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), held).await.unwrap();
        let open = open_in(import.id(), temporary.path());
        assert!(open.iter().all(|name| name.ends_with("(deleted)")), "{open:?}");
        kill(Pid::from_raw(import.id().cast_signed()), signal).unwrap();
        assert_eq!(ended(import).await.code, None, "{signal}");
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "{signal}");
    }
}

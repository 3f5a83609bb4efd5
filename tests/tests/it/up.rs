//! `orrery up` as a user runs it: the first time, again, after everything was killed, and where it cannot work.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use orrery::cluster::remembered_url;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{CreateProductRequest, Product};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{Postgres, Role, program};

/// A user would wonder if it took longer; the test's machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// `orrery up` on free ports.
fn command(data_dir: &Path) -> Command {
    command_with(data_dir, &[])
}

/// `orrery up` with these arguments, and free ports for the rest.
fn command_with(data_dir: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program("orrery"));
    command.args(["up", "--data-dir"]).arg(data_dir).args(arguments).stdin(Stdio::null()).env_remove("DATABASE_URL");
    for slice in ["--catalog", "--orders", "--records"] {
        if !arguments.iter().any(|argument| argument.starts_with(slice)) {
            command.arg(format!("{slice}=127.0.0.1:0"));
        }
    }
    command
}

/// Runs a command that must fail, and returns its exit code and standard error.
fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// A folder that the account that runs Postgres can enter.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A running `orrery up`. Dropping it kills it.
struct Up {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    printed: Vec<String>,
}

impl Up {
    /// Runs `command` and waits until all three services are healthy.
    async fn healthy(command: &mut Command) -> Self {
        let mut command = tokio::process::Command::from(std::mem::replace(command, Command::new("true")));
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut up = Self { child, lines, printed: Vec::new() };
        up.hear("Ctrl-C stops everything").await;
        up
    }

    /// Reads until a line contains `words`.
    async fn hear(&mut self, words: &str) -> String {
        let heard = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.printed.push(line.clone());
                if line.contains(words) {
                    return line;
                }
            }
            panic!("`{words}` was not printed, but {:#?}", self.printed);
        };
        tokio::time::timeout(TIMEOUT, heard).await.unwrap_or_else(|_| panic!("`{words}` was not printed in time"))
    }

    fn has_printed(&self, words: &str) -> bool {
        self.printed.iter().any(|line| line.contains(words))
    }

    fn address(&self, slice: &str) -> SocketAddr {
        let line = self.printed.iter().find(|line| line.starts_with(slice) && line.contains("is healthy on")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().cast_signed())
    }

    async fn end(&mut self, signal: Signal) -> ExitStatus {
        kill(self.pid(), signal).unwrap();
        tokio::time::timeout(TIMEOUT, self.child.wait()).await.unwrap().unwrap()
    }
}

async fn check_health(up: &Up, slice: &str) -> i32 {
    let channel = Endpoint::from_shared(format!("http://{}", up.address(slice))).unwrap().connect_lazy();
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel).check(request).await.unwrap().into_inner().status
}

fn pid_file(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres/data/postmaster.pid")
}

fn postmaster(data_dir: &Path) -> Pid {
    let text = fs::read_to_string(pid_file(data_dir)).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
}

/// The processes with the cluster's working directory: the postmaster and its backends.
fn servers(data_dir: &Path) -> Vec<Pid> {
    let data = data_dir.join("postgres/data");
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data))
        .map(Pid::from_raw)
        .collect()
}

/// The children of `parent` whose command line contains `words`.
fn children(parent: Pid, words: &str) -> Vec<Pid> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().map(str::trim).filter(|line| line.contains(words));
    let numbers = lines.map(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<i32>().unwrap_or(-1));
        (numbers.next().unwrap(), numbers.next().unwrap())
    });
    numbers.filter(|(_, its_parent)| *its_parent == parent.as_raw()).map(|(pid, _)| Pid::from_raw(pid)).collect()
}

async fn connect(data_dir: &Path) -> PgConnection {
    PgConnection::connect(&remembered_url(data_dir, "orrery").unwrap().unwrap()).await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

async fn products(data_dir: &Path) -> Vec<String> {
    let mut connection = connect(data_dir).await;
    let found = sqlx::query_scalar("select uid from product order by uid").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found
}

async fn add_product(data_dir: &Path, uid: &str) {
    let mut connection = connect(data_dir).await;
    run(&mut connection, &format!("insert into product (uid) values ('{uid}')")).await;
    connection.close().await.unwrap();
}

#[tokio::test]
async fn it_serves_from_nothing_and_again_from_what_it_left() {
    let folder = open_folder();
    let data_dir = folder.path().join("state");
    let mut up = Up::healthy(&mut command(&data_dir)).await;
    assert!(up.has_printed("Creating a Postgres"), "{:#?}", up.printed);
    for slice in ["catalog", "orders", "records"] {
        assert_eq!(check_health(&up, slice).await, 1);
    }
    let port = up.address("catalog").port();
    assert!(up.has_printed(&format!("grpcurl -plaintext localhost:{port} list")));
    assert_eq!(up.printed.iter().filter(|line| line.contains("grpcurl -plaintext")).count(), 3);
    assert_eq!(fs::metadata(data_dir.join("cluster.json")).unwrap().permissions().mode() & 0o777, 0o600);

    // Each service works as the role of its slice.
    let mut connection = connect(&data_dir).await;
    let roles: Vec<String> = sqlx::query_scalar(
        "select distinct usename::text from pg_stat_activity where usename like '%\\_service' order by 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(roles, ["catalog_service", "orders_service", "records_service"]);
    let durable: Vec<String> = sqlx::query_scalar(
        "select setting from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(durable, ["on", "on", "on"]);
    connection.close().await.unwrap();

    add_product(&data_dir, "prd_kept").await;
    let secrets = fs::read(data_dir.join("cluster.json")).unwrap();
    assert_eq!(up.end(Signal::SIGTERM).await.code(), Some(0));
    assert!(servers(&data_dir).is_empty() && !pid_file(&data_dir).exists());

    let mut up = Up::healthy(&mut command(&data_dir)).await;
    assert!(!up.has_printed("Creating a Postgres") && up.has_printed("is up to date"), "{:#?}", up.printed);
    assert_eq!(products(&data_dir).await, ["prd_kept"]);
    assert_eq!(fs::read(data_dir.join("cluster.json")).unwrap(), secrets);
    assert_eq!(up.end(Signal::SIGINT).await.code(), Some(0));
}

#[tokio::test]
async fn after_it_was_killed_it_comes_back_with_one_server() {
    let folder = open_folder();
    let data_dir = folder.path().join("state");
    let mut up = Up::healthy(&mut command(&data_dir)).await;
    add_product(&data_dir, "prd_a").await;
    up.end(Signal::SIGKILL).await;
    // The watchdog is stopping the server, or has not started yet.
    let mut up = Up::healthy(&mut command(&data_dir)).await;
    assert_eq!(products(&data_dir).await, ["prd_a"]);
    add_product(&data_dir, "prd_b").await;

    // Without its watchdog, the server outlives the process that started it.
    let orphan = postmaster(&data_dir);
    for watchdog in children(up.pid(), "watchdog") {
        kill(watchdog, Signal::SIGKILL).unwrap();
    }
    up.end(Signal::SIGKILL).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    kill(orphan, None).expect("the server still runs");
    let mut up = Up::healthy(&mut command(&data_dir)).await;
    assert!(!servers(&data_dir).contains(&orphan));
    assert_eq!(products(&data_dir).await, ["prd_a", "prd_b"]);
    assert_eq!(up.end(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn a_killed_postgres_is_started_again_and_a_stale_pid_file_is_no_obstacle() {
    let folder = open_folder();
    let data_dir = folder.path().join("state");
    let mut up = Up::healthy(&mut command(&data_dir)).await;
    add_product(&data_dir, "prd_a").await;
    kill(postmaster(&data_dir), Signal::SIGKILL).unwrap();
    up.hear("Postgres runs again").await;
    assert_eq!(products(&data_dir).await, ["prd_a"]);

    // Everything dies at once, and another process has the pid in the pid file.
    for process in servers(&data_dir).into_iter().chain(children(up.pid(), "watchdog")).chain([up.pid()]) {
        let _ = kill(process, Signal::SIGKILL);
    }
    up.child.wait().await.unwrap();
    let text = fs::read_to_string(pid_file(&data_dir)).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(pid_file(&data_dir), format!("{}\n{rest}", std::process::id())).unwrap();
    let mut up = Up::healthy(&mut command(&data_dir)).await;
    assert_eq!(products(&data_dir).await, ["prd_a"]);
    assert_eq!(up.end(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn what_is_in_the_way_is_said_in_one_line() {
    let folder = open_folder();
    let data_dir = folder.path().join("state");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let unused = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let postgres = Postgres::shared().await;
    let port = postgres.port();
    let cases = [
        (vec![format!("--catalog={taken}")], format!("catalog cannot listen on {taken}: Address already in use")),
        (vec!["--records=0.0.0.0:0".into()], "--records: other machines can reach 0.0.0.0:0".into()),
        (vec!["--database-url=mysql://a:secret@b/c".into()], "the database URL cannot be read".into()),
        (
            vec![format!("--database-url=postgres://a:secret@127.0.0.1:{unused}/c")],
            format!("cannot connect to the database c at 127.0.0.1:{unused}: Connection refused"),
        ),
        (
            vec![format!("--database-url=postgres://nobody:secret@127.0.0.1:{port}/c")],
            format!("cannot connect to the database c at 127.0.0.1:{port}: password authentication failed"),
        ),
        (vec!["--postgres-bin=/nowhere".into()], "/nowhere has no initdb and postgres that can be run".into()),
        (vec!["--migrations=/nowhere".into()], "cannot read the folder /nowhere".into()),
    ];
    for (arguments, expected) in cases {
        let (code, stderr) = refusal(&mut command_with(&data_dir, &arguments));
        assert_eq!(code, Some(1), "{arguments:?} printed {stderr}");
        assert!(stderr.starts_with(&format!("orrery: {expected}")), "{arguments:?} printed {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
    let (code, stderr) = refusal(command(Path::new("/dev/null/state")).arg("--log=warn"));
    assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
}

#[tokio::test]
async fn two_on_one_data_directory_are_one_too_many() {
    let folder = open_folder();
    let data_dir = folder.path().join("state");
    let mut up = Up::healthy(&mut command(&data_dir)).await;
    let (code, stderr) = refusal(&mut command(&data_dir));
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("another process (pid {}) is using", up.pid())), "{stderr}");
    assert_eq!(check_health(&up, "catalog").await, 1);

    // `orrery migrate` finds the same database by itself.
    let status = |exit_code: &str| {
        Command::new(program("orrery"))
            .args(["migrate", "status", exit_code, "--data-dir"])
            .arg(&data_dir)
            .env_remove("DATABASE_URL")
            .output()
            .unwrap()
    };
    let output = status("--exit-code");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("Pending: 0\n"));
    assert_eq!(up.end(Signal::SIGTERM).await.code(), Some(0));
    assert_eq!(status("--exit-code").status.code(), Some(1), "the server is down");
}

#[tokio::test]
async fn a_server_that_exists_is_used_and_its_database_made() {
    let postgres = Postgres::own().await;
    let mut operator = postgres.connect().await;
    let superuser = postgres.url(Role::Operator, "as_superuser");
    run(&mut operator, "create role owner login createdb createrole password 'only-for-this-test'").await;
    // Since Postgres 16, who may create roles has rights only on those that it has created.
    let as_creator = "do $$ begin
        if current_setting('server_version_num')::int >= 160000 then
            execute 'grant catalog_service, orders_service, records_service to owner
                with admin true, set false, inherit false';
        end if;
    end $$";
    run(&mut operator, as_creator).await;
    let owner = format!("postgres://owner:only-for-this-test@127.0.0.1:{}/as_owner", postgres.port());
    for url in [superuser, owner] {
        let folder = open_folder();
        let data_dir = folder.path().join("state");
        let mut up = Up::healthy(command(&data_dir).arg(format!("--database-url={url}"))).await;
        assert!(!up.has_printed("cannot be used"), "{:#?}", up.printed);
        assert_eq!(check_health(&up, "orders").await, 1);
        assert!(!data_dir.exists());
        // The service has the rights of its slice's role, not those of the URL's.
        let channel = Endpoint::from_shared(format!("http://{}", up.address("catalog"))).unwrap().connect_lazy();
        let mut client = CatalogServiceClient::new(channel);
        let create = || CreateProductRequest { product: Some(Product::default()), ..CreateProductRequest::default() };
        client.create_product(create()).await.unwrap();
        let mut owner = PgConnection::connect(&url).await.unwrap();
        run(&mut owner, "revoke insert on catalog.product from catalog_service").await;
        client.create_product(create()).await.unwrap_err();
        assert_eq!(up.end(Signal::SIGTERM).await.code(), Some(0));
    }

    // A role that can neither create roles nor switch to them serves all slices itself, and a message says so.
    run(&mut operator, "create role tenant login createdb password 'only-for-this-test'").await;
    let tenant = format!("postgres://tenant:only-for-this-test@127.0.0.1:{}/as_tenant", postgres.port());
    let folder = open_folder();
    let mut up = Up::healthy(command(folder.path()).arg(format!("--database-url={tenant}"))).await;
    assert!(
        up.has_printed("The role catalog_service cannot be used (permission denied to set role"),
        "{:#?}",
        up.printed
    );
    assert_eq!(up.end(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn an_ordinary_user_can_run_it() {
    if !Uid::effective().is_root() {
        return; // Then every other test here shows it.
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let folder = open_folder();
    let copy = folder.path().join("orrery");
    fs::copy(program("orrery"), &copy).unwrap();
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    std::os::unix::fs::chown(&place, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
    let mut command = Command::new(copy);
    command
        .args(["up", "--catalog=127.0.0.1:0", "--orders=127.0.0.1:0", "--records=127.0.0.1:0"])
        .current_dir(&place)
        .uid(nobody.uid.as_raw())
        .gid(nobody.gid.as_raw());
    let mut up = Up::healthy(&mut command).await;
    assert_eq!(check_health(&up, "records").await, 1);
    assert_eq!(up.end(Signal::SIGTERM).await.code(), Some(0));
    // Root can then use it as the owner of the files.
    let mut up = Up::healthy(&mut self::command(&place.join(".orrery"))).await;
    assert!(!up.has_printed("Creating a Postgres"));
    assert_eq!(up.end(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn root_s_closed_folders_are_left_closed() {
    if !Uid::effective().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = folder.path().join("state");
    for time in 1..=2 {
        let mut up = Up::healthy(&mut command(&data_dir)).await;
        assert!(up.has_printed("its files are in /var/lib/orrery/"), "{:#?}", up.printed);
        assert_eq!(up.has_printed("Creating a Postgres"), time == 1);
        assert_eq!(up.end(Signal::SIGTERM).await.code(), Some(0));
    }
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
    let state: serde_json::Value = serde_json::from_slice(&fs::read(data_dir.join("cluster.json")).unwrap()).unwrap();
    fs::remove_dir_all(state["home"].as_str().unwrap()).unwrap();
}

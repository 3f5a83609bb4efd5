#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tonic::Code;

use super::*;

const SERVICE: &str = "orrery.catalog.v1.CatalogService";

fn sample(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.encode().unwrap();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn a_path_that_is_no_method_makes_no_labels() {
    let metrics = Metrics::new(&[SERVICE]);
    for path in
        ["/orrery.catalog.v1.CatalogService/Nothing", "/orrery.orders.v1.OrdersService/GetOrder", "/\"} 1\n", ""]
    {
        let method = metrics.rpc.of(path);
        method.start();
        method.finish(Code::Unimplemented, Duration::ZERO);
    }
    let labels = "{grpc_service=\"unknown\",grpc_method=\"unknown\",grpc_type=\"unknown\"";
    assert_eq!(sample(&metrics, &format!("grpc_server_started_total{labels}}}")), Some(4.0));
    let handled = format!("grpc_server_handled_total{labels},grpc_code=\"Unimplemented\"}}");
    assert_eq!(sample(&metrics, &handled), Some(4.0));
    let text = metrics.encode().unwrap();
    assert!(!text.contains("Nothing") && !text.contains("OrdersService"), "{text}");
}

#[test]
fn every_method_is_there_before_it_was_called() {
    let text = Metrics::new(&[SERVICE]).encode().unwrap();
    for (method, kind) in
        [("GetProduct", "unary"), ("StreamProducts", "server_stream"), ("WriteProducts", "bidi_stream")]
    {
        let labels = format!("{{grpc_service=\"{SERVICE}\",grpc_method=\"{method}\",grpc_type=\"{kind}\"");
        assert!(text.contains(&format!("grpc_server_started_total{labels}}} 0\n")), "{text}");
        assert!(text.contains(&format!("grpc_server_handled_total{labels},grpc_code=\"OK\"}} 0\n")), "{text}");
    }
    assert!(text.contains("grpc_method=\"Check\"") && text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn what_is_observed_stands_in_its_bucket() {
    let histogram = histogram::Histogram::new(histogram::ROWS);
    assert!(histogram.is_empty());
    for value in [0, 1, 2, 10, 11, 100_000, 100_001, u64::from(u32::MAX)] {
        histogram.observe(value);
    }
    let metrics = Metrics::new(&[]);
    for rows in [0, 1, 2, 10, 11, 100_000, 100_001] {
        metrics.database.statement(StatementKind::CopyIn, rows, 1, Duration::from_millis(1));
    }
    for (bound, count) in [("0.0", 1.0), ("1.0", 2.0), ("10.0", 4.0), ("100.0", 5.0), ("100000.0", 6.0), ("+Inf", 7.0)]
    {
        let series = format!("orrery_db_statement_rows_bucket{{le=\"{bound}\",kind=\"copy_in\"}}");
        assert_eq!(sample(&metrics, &series), Some(count), "{series} in\n{}", metrics.encode().unwrap());
    }
    assert_eq!(sample(&metrics, "orrery_db_statement_rows_count{kind=\"copy_in\"}"), Some(7.0));
    assert_eq!(sample(&metrics, "orrery_db_statement_rows_sum{kind=\"copy_in\"}"), Some(200_025.0));
    let sum = sample(&metrics, "orrery_db_statement_seconds_sum{kind=\"copy_in\"}").unwrap();
    assert!((sum - 0.007).abs() < 1e-9, "{sum}");
}

#[test]
fn the_kernels_numbers_are_there() {
    let metrics = Metrics::default();
    let resident = sample(&metrics, "process_resident_memory_bytes").unwrap();
    assert!((1e6..1e12).contains(&resident), "{resident}");
    let started = sample(&metrics, "process_start_time_seconds").unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now - 86_400.0..now + 2.0).contains(&started), "{started}, and it is {now}");
    assert!(sample(&metrics, "process_open_fds").unwrap() >= 3.0);
    assert!(sample(&metrics, "process_cpu_seconds_total").is_some());
}

//! Upstream, floor and load generator together, each on a real socket.
#![expect(
    clippy::unwrap_used,
    reason = "the configuration allows it in test functions; here all of it is tests"
)]

use std::net::SocketAddr;
use std::time::Duration;

use bench::answers::{FRAMES, PACE};
use bench::load::{self, Kind, Plan, Seen};
use bench::{floor, listen, upstream};
use http::{HeaderValue, StatusCode};
use tokio::net::TcpListener;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A floor in front of an upstream.
async fn floor_and_upstream() -> SocketAddr {
    let (behind, upstream) = listener().await;
    tokio::spawn(upstream::answer_all(behind));
    let (front, floor) = listener().await;
    tokio::spawn(floor::forward_all(front, upstream));
    floor
}

async fn load(target: SocketAddr, kind: Kind, rate: Option<f64>) -> Seen {
    let plan = Plan {
        target,
        kind,
        keys: vec![HeaderValue::from_static("Bearer a"), HeaderValue::from_static("Bearer b")],
        connections: 4,
        rate,
        time: Duration::from_millis(300),
        expect: StatusCode::OK,
    };
    load::run(plan).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_request_passes_the_floor_whole() {
    let floor = floor_and_upstream().await;
    for kind in [Kind::Plain, Kind::Stream, Kind::Paced, Kind::Long] {
        let seen = load(floor, kind, None).await;
        assert!(seen.answered >= 4, "{kind:?}: {seen:?}");
        assert_eq!((seen.failed, seen.broken), (0, 0), "{kind:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_paced_stream_takes_its_time_and_shows_when_its_frames_were_sent() {
    let seen = load(floor_and_upstream().await, Kind::Paced, Some(20.0)).await;
    let least = PACE * u32::try_from(FRAMES - 1).unwrap();
    assert!(seen.total_ms.p50 >= least.as_secs_f64() * 1_000.0, "{seen:?}");
    assert!(seen.way_ms.p50 > 0.0 && seen.gap_ms.p50 > 0.0 && seen.first_byte_ms.p50 > 0.0, "{seen:?}");
}

#[tokio::test]
async fn at_a_fixed_rate_as_many_requests_begin_as_were_asked_for() {
    let seen = load(floor_and_upstream().await, Kind::Plain, Some(100.0)).await;
    assert_eq!(seen.answered, 30);
}

#[tokio::test]
async fn another_status_than_the_expected_is_a_failure() {
    let (nobody, target) = listener().await;
    drop(nobody);
    let (front, floor) = listener().await;
    tokio::spawn(floor::forward_all(front, target));
    let seen = load(floor, Kind::Plain, Some(50.0)).await;
    assert_eq!((seen.answered, seen.failed), (0, 15));
    assert_eq!(seen.first_failure.as_deref(), Some("status 502 Bad Gateway"));
}

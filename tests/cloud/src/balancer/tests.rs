//! The load balancer in front of real little servers.

mod servers;

use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::routes::{Rule, WeightedGroup};
use servers::{Client, Target, free_port, get, header};

const QUICK: Timeouts = Timeouts {
    connect: Duration::from_millis(300),
    idle: Duration::from_millis(400),
};

fn group(weight: u16, targets: &[&Target]) -> WeightedGroup {
    let targets: Vec<SocketAddr> = targets.iter().map(|target| target.addr).collect();
    WeightedGroup {
        target_group_arn: format!("arn:{targets:?}"),
        weight,
        targets,
    }
}

fn to(target: &Target) -> Action {
    Action::Forward(vec![group(1, &[target])])
}

fn listener(port: u16, default: Action) -> Listener {
    Listener {
        port,
        load_balancer: "arn:lb".to_owned(),
        rules: Vec::new(),
        default,
    }
}

/// A load balancer with one listener that sends everything to this target.
async fn in_front_of(target: &Target) -> (Balancer, u16) {
    let (balancer, port) = (Balancer::with(QUICK), free_port());
    balancer
        .update(vec![listener(port, to(target))])
        .await
        .unwrap();
    (balancer, port)
}

#[tokio::test]
async fn rules_weights_and_fixed_responses_decide() {
    let (api, old, new) = (
        Target::named("api").await,
        Target::named("old").await,
        Target::named("new").await,
    );
    let (balancer, port) = (Balancer::new(), free_port());
    let rule = |hosts: &[&str], paths: &[&str], action| Rule {
        hosts: hosts.iter().map(ToString::to_string).collect(),
        paths: paths.iter().map(ToString::to_string).collect(),
        action,
    };
    let fixed = Action::FixedResponse {
        status: 418,
        content_type: "text/plain".into(),
        body: "short and stout".into(),
    };
    let routes = Listener {
        port,
        load_balancer: "arn:lb".to_owned(),
        rules: vec![
            rule(&["api.*"], &["/v1/*"], to(&api)),
            rule(
                &[],
                &["/split"],
                Action::Forward(vec![group(3, &[&old]), group(1, &[&new])]),
            ),
            rule(&[], &["/empty"], Action::Forward(vec![group(1, &[])])),
            rule(
                &[],
                &["/weightless"],
                Action::Forward(vec![group(0, &[&old]), group(0, &[&new])]),
            ),
        ],
        default: fixed,
    };
    balancer.update(vec![routes]).await.unwrap();

    let mut client = Client::connect(port).await;
    let answer = client.get("API.example.com:80", "/v1/x?q=1").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "api /v1/x?q=1")
    );
    let answer = client.get("api.example.com", "/v2").await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (418, "short and stout")
    );
    assert_eq!(answer.headers["content-type"], "text/plain");
    for path in ["/empty", "/weightless"] {
        let answer = client.get("x", path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.body.contains("503 Service Temporarily Unavailable"));
    }
    let mut from_old = 0;
    for _ in 0..100 {
        from_old += usize::from(client.get("x", "/split").await.body.starts_with("old"));
    }
    assert!(
        (74..=76).contains(&from_old),
        "{from_old} of 100 from the old one"
    );
}

#[tokio::test]
async fn a_target_sees_who_asked_and_nothing_that_concerns_the_connection() {
    let target = Target::echoing_headers().await;
    let (_balancer, port) = in_front_of(&target).await;
    let answer = Client::connect(port)
        .await
        .request(
            "GET / HTTP/1.1\r\nHost: shop.test:80\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
             Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nCookie: a\r\n\r\n",
        )
        .await;
    let mut seen: Vec<&str> = answer.body.lines().collect();
    seen.sort_unstable();
    let port = format!("x-forwarded-port: {port}");
    assert_eq!(
        seen,
        [
            "cookie: a",
            "host: shop.test:80",
            "x-forwarded-for: 10.0.0.1, 127.0.0.1",
            &port,
            "x-forwarded-proto: http"
        ]
    );
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let target = Target::named("x").await;
    let (_balancer, port) = in_front_of(&target).await;
    let mut client = Client::connect(port).await;
    for _ in 0..20 {
        assert_eq!(client.get("x", "/").await.status, StatusCode::OK);
        // The connection is kept once the answer has passed, which the client may see first.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let target = Target::echoing_bodies().await;
    let (_balancer, port) = in_front_of(&target).await;
    let mut client = Client::connect(port).await;
    client
        .write("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    // The first part is back before the last is sent, and longer than an idle connection would live.
    let mut seen = client.read_until("first").await;
    for _ in 0..4 {
        tokio::time::sleep(QUICK.idle / 2).await;
        client.write("4\r\nnext\r\n").await;
        seen = client.read_until("next").await;
    }
    client.write("0\r\n\r\n").await;
    client.read_until("\r\n0\r\n\r\n").await;
    assert!(!seen.is_empty());

    let large = "x".repeat(3 << 20);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{large}",
        large.len()
    );
    let answer = Client::connect(port).await.request(&request).await;
    assert_eq!(answer.body.len(), large.len());
}

#[tokio::test]
async fn a_keep_alive_race_is_never_the_users_error() {
    // Answers one request a connection, and closes it when the next one arrives.
    let target = Target::closing_on_the_second_request().await;
    let (_balancer, port) = in_front_of(&target).await;
    let clients = (0..4).map(|_| {
        tokio::spawn(async move {
            let mut client = Client::connect(port).await;
            for i in 0..50 {
                let answer = match i % 3 {
                    0 => {
                        client
                            .request("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
                            .await
                    }
                    _ => client.get("x", "/").await,
                };
                assert_eq!(answer.status, StatusCode::OK, "request {i}");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert!(target.connections() >= 200);
}

#[tokio::test]
async fn a_target_that_gives_no_answer_is_502_or_504() {
    for (what, target, status) in [
        (
            "nobody listens",
            Target::gone().await,
            StatusCode::BAD_GATEWAY,
        ),
        (
            "closes at once",
            Target::answering(Some("")).await,
            StatusCode::BAD_GATEWAY,
        ),
        (
            "not HTTP",
            Target::answering(Some("220 smtp ready\r\n")).await,
            StatusCode::BAD_GATEWAY,
        ),
        (
            "silent",
            Target::answering(None).await,
            StatusCode::GATEWAY_TIMEOUT,
        ),
    ] {
        let (_balancer, port) = in_front_of(&target).await;
        let mut client = Client::connect(port).await;
        let answer = client.get("x", "/").await;
        assert_eq!(answer.status, status, "{what}");
        let posted = client
            .request("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            .await;
        assert_eq!(posted.status, status, "{what}");
    }
}

#[tokio::test]
async fn a_request_in_flight_finishes_on_its_target_when_routes_change() {
    let (old, new) = (
        Target::slow("old", Duration::from_millis(200)).await,
        Target::named("new").await,
    );
    let (balancer, port) = in_front_of(&old).await;
    let in_flight = tokio::spawn(async move { get(port, "/").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut kept = Client::connect(port).await;
    balancer
        .update(vec![listener(port, to(&new))])
        .await
        .unwrap();
    assert_eq!(kept.get("x", "/").await.body, "new /");
    assert_eq!(in_flight.await.unwrap().body, "old /");
}

#[tokio::test]
async fn ports_open_and_close_as_listeners_come_and_go() {
    let target = Target::slow("x", Duration::from_millis(100)).await;
    let (balancer, port) = in_front_of(&target).await;
    let other = free_port();
    let both = vec![listener(port, to(&target)), listener(other, to(&target))];
    balancer.update(both.clone()).await.unwrap();
    assert_eq!(get(other, "/").await.status, StatusCode::OK);

    let in_flight = tokio::spawn(async move { get(other, "/").await });
    let mut idle = Client::connect(other).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    balancer.update(both[..1].to_vec()).await.unwrap();
    TcpStream::connect(("127.0.0.1", other)).await.unwrap_err();
    assert_eq!(in_flight.await.unwrap().status, StatusCode::OK);
    assert!(idle.is_closed().await);

    // Somebody else's.
    let taken = std::net::TcpListener::bind(("127.0.0.1", other)).unwrap();
    let error = balancer.update(both.clone()).await.unwrap_err();
    assert_eq!(error.port, other);
    assert!(
        error
            .to_string()
            .contains(&format!("port {other} on 127.0.0.1"))
    );
    assert_eq!(get(port, "/").await.status, StatusCode::OK);
    drop(taken);
    balancer.update(both).await.unwrap();
    assert_eq!(get(other, "/").await.status, StatusCode::OK);

    drop(balancer);
    tokio::time::sleep(Duration::from_millis(50)).await;
    TcpStream::connect(("127.0.0.1", port)).await.unwrap_err();
}

#[tokio::test]
async fn an_upgraded_connection_passes_through() {
    let target = Target::upgrading().await;
    let (_balancer, port) = in_front_of(&target).await;
    let mut client = Client::connect(port).await;
    client
        .write("GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    let head = client.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    for word in ["ping", "pong"] {
        client.write(word).await;
        client.read_until(&format!("you said {word}")).await;
    }
}

#[tokio::test]
async fn an_upgraded_connection_ends_when_its_target_has_drained() {
    let (target, next) = (Target::upgrading().await, Target::named("next").await);
    let (balancer, port) = in_front_of(&target).await;
    let mut client = Client::connect(port).await;
    client
        .write("GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    client.read_until("\r\n\r\n").await;
    let seat = |target: &Target| (format!("arn:{:?}", [target.addr]), target.addr);

    // No rule names it any more, and it drains.
    balancer
        .update(vec![listener(port, to(&next))])
        .await
        .unwrap();
    balancer.cut_others([seat(&target), seat(&next)].into());
    client.write("ping").await;
    client.read_until("you said ping").await;

    balancer.cut_others([seat(&next)].into());
    assert!(client.is_closed().await);
    assert_eq!(get(port, "/").await.body, "next /");
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let target = Target::named("x").await;
    let (_balancer, port) = in_front_of(&target).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let old = Client::connect(port)
        .await
        .request("GET /old HTTP/1.0\r\n\r\n")
        .await;
    assert_eq!(old.body, "x /old");
}

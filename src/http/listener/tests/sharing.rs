//! What one member or partner holds leaves room for the others.

use super::*;
use crate::metrics::FigureRecorder;

#[tokio::test]
async fn downloads_of_one_member_leave_room_for_the_others() {
    const BIG: &str = "GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let world = World::with_limits(vec![isr.of("ISR"), kor.of("KOR")], |limits| {
        (limits.downloads, limits.downloads_per_partner, limits.downloads_per_member) = (4, 3, 2);
    })
    .await;
    let (greedy, colleague, innocent) = (isr.member("ISR:avi"), isr.member("ISR:noa"), kor.member("KOR:min"));
    let begin = async |held: &Held| {
        let mut stream = world.connect(held).await;
        assert_eq!(ask(&mut stream, WHO).await.0, 200);
        let (status, text) = ask(&mut stream, BIG).await;
        (status, text, stream)
    };
    let first = begin(&greedy).await;
    let _second = begin(&greedy).await;
    let (status, text, mut third) = begin(&greedy).await;
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("problem:too-many-answers") && text.contains("retry-after: "), "{text}");
    assert_eq!(ask(&mut third, WHO).await.0, 200, "everything else goes on");
    let of_colleague = begin(&colleague).await;
    assert_eq!((first.0, of_colleague.0, begin(&colleague).await.0), (200, 200, 503));
    assert_eq!(begin(&innocent).await.0, 200, "another partner's member is served");
    drop(first);
    let given_back = async { while begin(&greedy).await.0 != 200 {} };
    timeout(Duration::from_mins(1), given_back).await.unwrap();
}

#[tokio::test]
async fn requests_of_one_member_leave_room_for_the_others() {
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let world = World::with_limits(vec![isr.of("ISR"), kor.of("KOR")], |limits| {
        (limits.requests, limits.requests_per_partner, limits.requests_per_member) = (4, 3, 2);
    })
    .await;
    let (greedy, colleague, innocent) = (isr.member("ISR:avi"), isr.member("ISR:noa"), kor.member("KOR:min"));
    let mut under_way = Vec::new();
    for held in [&greedy, &greedy, &colleague] {
        let (status, text) = ask(&mut world.connect(held).await, WHO).await;
        assert_eq!(status, 200, "{text}");
        let mut stream = world.connect(held).await;
        stream.write_all(WAIT.as_bytes()).await.unwrap();
        world.waiting.notified().await;
        under_way.push(stream);
    }
    let (status, text) = ask(&mut world.connect(&greedy).await, WHO).await;
    assert!(status == 429 && text.contains("problem:too-many-requests") && text.contains("retry-after: "), "{text}");
    assert!(text.contains("ratelimit-policy: \"requests\";q=2;qu=\"concurrent-requests\""), "{text}");
    assert!(text.contains("ratelimit: \"requests\";r=0"), "{text}");
    // The colleague has less than a member may, and the partner as many as it may.
    let (status, text) = ask(&mut world.connect(&colleague).await, WHO).await;
    assert!(status == 503 && text.contains("problem:overloaded") && text.contains("retry-after: "), "{text}");
    assert!(text.contains("ratelimit-policy: \"requests-of-partner\";q=3;qu=\"concurrent-requests\""), "{text}");
    assert!(text.contains("ratelimit: \"requests-of-partner\";r=0"), "{text}");
    assert_eq!(ask(&mut world.connect(&innocent).await, WHO).await.0, 200, "another partner's member is served");
    world.go_on.notify_waiters();
    for mut stream in under_way {
        assert_eq!(ask(&mut stream, "").await.0, 200);
    }
    assert_eq!(ask(&mut world.connect(&greedy).await, WHO).await.0, 200);
}

#[tokio::test]
async fn registrar_is_answered_though_colleagues_hold_whatever_there_is() {
    let isr = Ca::new("A");
    let registrar = isr.member("ISR:registrar");
    let key = crate::http::leaf::Leaf::read(&registrar.der).unwrap().spki_sha256;
    let partner = PartnerTrust { registrars: [key].into(), ..isr.of("ISR") };
    let world = World::with_limits(vec![partner], |limits| {
        (limits.requests, limits.requests_per_partner, limits.requests_per_member) = (40, 4, 1);
    })
    .await;
    let colleagues: Vec<_> = (0..7).map(|number| isr.member(&format!("ISR:colleague-{number}"))).collect();
    for held in &colleagues {
        assert_eq!(ask(&mut world.connect(held).await, WHO).await.0, 200);
    }
    let mut under_way = Vec::new();
    // One each, and one more of what is kept for those who hold nothing.
    for held in &colleagues[..5] {
        let mut stream = world.connect(held).await;
        stream.write_all(WAIT.as_bytes()).await.unwrap();
        world.waiting.notified().await;
        under_way.push(stream);
    }
    for held in &colleagues[5..] {
        assert_eq!(ask(&mut world.connect(held).await, WHO).await.0, 503, "nothing is left for them");
    }
    // Who was never here before.
    assert_eq!(ask(&mut world.connect(&registrar).await, WHO).await.0, 200);
    drop(under_way);
}

#[tokio::test]
async fn two_certificates_that_keep_every_connection_busy_lock_nobody_out() {
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let world = World::with_limits(vec![isr.of("ISR"), kor.of("KOR")], |limits| {
        (limits.connections, limits.connections_per_partner, limits.connections_per_member) = (8, 6, 4);
        limits.connections_without_key_card = 4;
    })
    .await;
    let (first, second) = (isr.member("ISR:avi"), isr.member("ISR:noa"));
    let mut busy = Vec::new();
    for held in [&first, &second].into_iter().cycle().take(20) {
        let mut stream = world.connect(held).await;
        assert_eq!(ask(&mut stream, WHO).await.0, 200);
        stream.write_all(WAIT.as_bytes()).await.unwrap();
        world.waiting.notified().await;
        busy.push(stream);
    }
    // Their own registrar, who may want to revoke them, and another partner's member.
    for held in [isr.member("ISR:registrar"), kor.member("KOR:min")] {
        assert_eq!(ask(&mut world.connect(&held).await, WHO).await.0, 200);
    }
    assert_eq!(closed(busy.remove(0)).await, b"", "what gave way ended at once, with a request open");
}

#[tokio::test]
async fn handshake_under_way_goes_on_however_many_silent_strangers_come() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::with_limits(vec![ca.of("ISR")], |limits| {
        (limits.handshakes, limits.handshakes_per_address) = (8, 6);
    })
    .await;
    let tcp = TcpStream::connect(world.address).await.unwrap().into_std().unwrap();
    let answered = TcpStream::from_std(tcp.try_clone().unwrap()).unwrap();
    let tcp = TcpStream::from_std(tcp).unwrap();
    tcp.writable().await.unwrap();
    let config = world.config(Some(&held), &[&TLS13], &["http/1.1"]);
    let mut connecting = pin!(TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), tcp));
    assert!(futures_util::poll!(&mut connecting).is_pending());
    // The server's greeting is here, and the path is so long that the member has not seen it yet.
    answered.readable().await.unwrap();
    let mut silent = Vec::new();
    for number in 0..40_u8 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // Each from another address, so that none has more than the member.
        socket.bind(SocketAddr::from(([127, 0, 1, number], 0))).unwrap();
        silent.push(socket.connect(world.address).await.unwrap());
    }
    // All have been looked at once the last one's place is another's.
    closed(silent.swap_remove(30)).await;
    assert_eq!(ask(&mut connecting.await.unwrap(), WHO).await.0, 200);
}

#[tokio::test]
async fn slow_bodies_of_one_member_take_a_bounded_part_of_memory() {
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let world = World::start(vec![isr.of("ISR"), kor.of("KOR")]).await;
    let (greedy, innocent) = (isr.member("ISR:avi"), kor.member("KOR:min"));
    // Of unknown length, so each may become as large as any.
    let post = "POST /slow HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";
    let mut under_way = Vec::new();
    for _ in 0..2 {
        let mut stream = world.connect(&greedy).await;
        assert_eq!(ask(&mut stream, WHO).await.0, 200);
        stream.write_all(post.as_bytes()).await.unwrap();
        world.waiting.notified().await;
        under_way.push(stream);
    }
    let (status, text) = ask(&mut world.connect(&greedy).await, post).await;
    assert!(status == 429 && text.contains("problem:too-many-requests") && text.contains("retry-after: "), "{text}");
    assert!(text.contains("ratelimit-policy: \"bodies\";q=33554432;qu=\"content-bytes\""), "{text}");
    assert!(text.contains("a body without `Content-Length` counts"), "{text}");
    assert_eq!(ask(&mut world.connect(&greedy).await, WHO).await.0, 200, "what has no body is answered");
    let size = "POST /size HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc";
    assert_eq!(ask(&mut world.connect(&innocent).await, size).await.0, 200);
    drop(under_way);
    let given_back = async { while ask(&mut world.connect(&greedy).await, size).await.0 != 200 {} };
    timeout(Duration::from_mins(1), given_back).await.unwrap();
}

#[test]
fn small_document_is_kept_as_other_bodies_are_and_a_large_one_is_not() {
    let upload = |size: usize| {
        let request = Request::put("/v1/proposals/p/documents/plan").header(header::CONTENT_TYPE, AGE_MEDIA_TYPE);
        request.body(Body::from(vec![0; size])).unwrap()
    };
    assert_eq!([SMALL_BODY_BYTES, SMALL_BODY_BYTES + 1].map(|size| kept_bytes(&upload(size))), [SMALL_BODY_BYTES, 0]);
}

#[tokio::test]
async fn good_client_is_served_though_silent_ones_hold_every_place() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    // The silent ones would wait for an hour: each one that is served meanwhile has displaced one.
    let world = World::with_limits(vec![ca.of("ISR")], |limits| {
        (limits.connections, limits.connections_per_partner, limits.handshakes) = (8, 8, 8);
    })
    .await;
    let mut strangers = Vec::new();
    for _ in 0..40 {
        strangers.push(TcpStream::connect(world.address).await.unwrap());
    }
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = world.connect(&held).await;
        stream.write_all(b"GET /who HTTP/1.1\r\nhost: local").await.unwrap();
        slow.push(stream);
    }
    assert_eq!(ask(&mut world.connect(&held).await, WHO).await.0, 200);
    closed(slow.remove(0)).await;
    closed(strangers.remove(0)).await;
}

#[tokio::test]
async fn one_request_too_many_gets_503_with_retry_after() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::with_limits(vec![ca.of("ISR")], |limits| limits.requests = 1).await;
    let (mut first, mut second) = (world.connect(&held).await, world.connect(&ca.member("ISR:noa")).await);
    first.write_all(WAIT.as_bytes()).await.unwrap();
    world.waiting.notified().await;
    let (status, text) = ask(&mut second, WHO).await;
    assert!(status == 503 && text.contains("retry-after: "), "{text}");
    world.go_on.notify_one();
    assert_eq!(ask(&mut first, "").await.0, 200);
    assert_eq!(ask(&mut second, WHO).await.0, 200);
}

#[tokio::test]
async fn connection_that_gives_way_is_counted_for_the_partner_that_lost_it() {
    let recorder = FigureRecorder::default();
    // The server runs on this thread, so what it counts is counted here.
    let _counting = ::metrics::set_default_local_recorder(&recorder);
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let world = World::with_limits(vec![isr.of("ISR"), kor.of("KOR")], |limits| {
        (limits.connections, limits.connections_per_partner) = (2, 2);
    })
    .await;
    let mut held = Vec::new();
    for held_by in [isr.member("ISR:avi"), isr.member("ISR:noa"), kor.member("KOR:min")] {
        let mut stream = world.connect(&held_by).await;
        assert_eq!(ask(&mut stream, WHO).await.0, 200);
        held.push(stream);
    }
    closed(held.remove(0)).await;
    let figures = recorder.render();
    assert!(figures.contains("entente_connections_displaced_total{partner=\"ISR\"} 1\n"), "{figures}");
    assert!(!figures.contains("displaced_total{partner=\"KOR\""), "{figures}");
}

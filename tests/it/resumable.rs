//! Uploads that can be resumed: each goes on at the byte reached, is its member's alone, and becomes what a document that comes at once
//! would be, by the same rules.

use crate::harness::{
    exchange::fresh_key,
    postgres::Database,
    process::{Site, until},
    process_acts::Numbers,
    stage::{GRACE, Stage, Step, id, pdf, quiet, slug},
    tus::{Sender, address, kept, metadata, offset, problem, sealed},
    world::Store,
};
use bytes::Bytes;
use entente::{
    client::api::Paging,
    domain::{ambient::Clock as _, entry::EntryKind, id::Sha256, proposal::Status},
    service::upkeep,
    wire::{Time, UPLOAD_MEDIA_TYPE, call::ExtendCall, proposal::ResumableUpload},
};
use futures_util::{StreamExt as _, stream};
use jiff::SignedDuration;
use reqwest::{Method, RequestBuilder};
use std::{fs, io, time::Duration};
use tokio::sync::mpsc;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const ABSENT: &str = "upl_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

/// A body that is sent piece by piece and then breaks off, or ends when the other end is dropped.
fn in_pieces() -> (mpsc::Sender<io::Result<Vec<u8>>>, reqwest::Body) {
    let (hand_over, pieces) = mpsc::channel(1);
    let pieces = stream::unfold(pieces, async |mut pieces: mpsc::Receiver<io::Result<Vec<u8>>>| {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    });
    (hand_over, reqwest::Body::wrap_stream(pieces))
}

async fn goes_on_at_the_byte_reached(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.begun().await;
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", proposal), sealed(150_000));
    let sha256 = Sha256::of(&bytes);
    let before = stage.log().await.len();
    let path = avi.begin(bytes.len(), Some(sha256)).await;
    assert_eq!(avi.offset(&path).await, 0);
    let mut at = 0;
    for part in [&bytes[..1], &bytes[1..1], &bytes[1..70_000], &bytes[70_000..bytes.len() - 1]] {
        let response = avi.append(&path, at, part).await;
        at += part.len();
        assert_eq!((response.status().as_u16(), offset(&response)), (204, at));
        assert_eq!(avi.offset(&path).await, at);
    }
    let shown = avi.shown(&path).await;
    assert_eq!((shown.offset, shown.size, &shown.document), (at as u64, bytes.len() as u64, &None));
    assert!(stage.client("ISR:avi").api().documents(proposal).await.unwrap().is_empty(), "it is no document yet");
    assert_eq!(stage.log().await.len(), before, "nobody reads of it before it is one");
    let response = avi.append(&path, at, &bytes[at..]).await;
    assert_eq!((response.status().as_u16(), offset(&response)), (204, bytes.len()));

    let document = avi.shown(&path).await.document.unwrap();
    assert_eq!(stage.client("USA:bob").api().documents(proposal).await.unwrap(), std::slice::from_ref(&document));
    assert_eq!((document.sha256, document.size), (sha256, bytes.len() as u64));
    let entries =
        stage.client("ISR:avi").api().entries(&[EntryKind::DocumentStored], &Paging::default()).await.unwrap();
    assert_eq!(entries.items.len(), 1);
    let path_of_bytes = format!("/v1/proposals/{proposal}/ciphertexts/{}", document.id);
    let read = avi.raw.request(Method::GET, &path_of_bytes).send().await.unwrap().bytes().await.unwrap();
    assert!(read == bytes);
    assert_eq!(kept(&stage), 0);

    // Its last answer may have been lost.
    assert_eq!(avi.offset(&path).await, bytes.len());
    let again = avi.append(&path, bytes.len(), b"").await;
    assert_eq!((again.status().as_u16(), offset(&again)), (204, bytes.len()));
    let again = avi.append(&path, bytes.len() - 1, &bytes[bytes.len() - 1..]).await;
    assert_eq!((again.status().as_u16(), offset(&again)), (409, bytes.len()));
    assert_eq!(stage.client("ISR:avi").api().documents(proposal).await.unwrap(), [document]);
    stage.stop().await;
}

#[tokio::test]
async fn upload_goes_on_at_the_byte_reached_and_its_last_byte_makes_the_document() {
    goes_on_at_the_byte_reached(Store::Sqlite).await;
    goes_on_at_the_byte_reached(Store::Postgres).await;
}

#[tokio::test]
async fn what_came_before_a_connection_broke_stays() {
    let stage = Stage::open().await;
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", stage.begun().await), sealed(150_000));
    // The sender does not know the digest yet.
    let path = avi.begin(bytes.len(), None).await;
    let (hand_over, body) = in_pieces();
    let request = avi.appending(&path, 0).header("Content-Length", bytes.len()).body(body);
    let sent = tokio::spawn(request.send());
    hand_over.send(Ok(bytes[..100_000].to_vec())).await.unwrap();
    hand_over.send(Err(io::Error::other("the line is cut"))).await.unwrap();
    assert!(sent.await.unwrap().is_err());
    until("the bytes of the broken request", async || (avi.offset(&path).await == 100_000).then_some(())).await;
    let response = avi.append(&path, 100_000, &bytes[100_000..]).await;
    assert_eq!(response.status(), 204);
    assert_eq!(avi.shown(&path).await.document.unwrap().sha256, Sha256::of(&bytes));
    stage.stop().await;
}

#[tokio::test]
async fn newer_request_ends_the_one_that_still_adds_to_the_upload() {
    let stage = Stage::open().await;
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", stage.begun().await), sealed(150_000));
    let path = avi.begin(bytes.len(), None).await;
    let (hand_over, body) = in_pieces();
    let old = tokio::spawn(avi.appending(&path, 0).header("Content-Length", bytes.len()).body(body).send());
    hand_over.send(Ok(bytes[..600].to_vec())).await.unwrap();
    until("the first request", async || (kept(&stage) == 1).then_some(())).await;
    // What the older one brought is written when it ends, so its successor may have to ask again.
    let mut at = avi.offset(&path).await;
    let response = loop {
        let response = avi.append(&path, at, &bytes[at..]).await;
        if response.status() != 409 {
            break response;
        }
        at = offset(&response);
    };
    assert_eq!((response.status().as_u16(), offset(&response)), (204, bytes.len()));
    drop(hand_over);
    // The older one is told how far it came, or finds its connection closed.
    if let Ok(told) = old.await.unwrap() {
        assert!([204, 408, 409].contains(&told.status().as_u16()), "{}", told.status());
    }
    assert_eq!(avi.shown(&path).await.document.unwrap().sha256, Sha256::of(&bytes));
    stage.stop().await;
}

#[tokio::test]
async fn upload_is_there_for_nobody_but_the_member_who_began_it() {
    let stage = Stage::open().await;
    let (proposal, other) = (stage.begun().await, stage.begun().await);
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let bytes = sealed(1000);
    let path = Sender::new(&stage, "ISR:avi", proposal).begin(bytes.len(), None).await;
    let elsewhere = path.replace(&proposal.to_string(), &other.to_string());
    let absent = format!("/v1/proposals/{proposal}/uploads/{ABSENT}");
    let comparable = async |request: RequestBuilder| {
        let response = request.send().await.unwrap();
        let mut headers = response.headers().clone();
        for varies in ["x-request-id", "date"] {
            headers.remove(varies);
        }
        (response.status().as_u16(), headers, response.bytes().await.unwrap())
    };
    for (member, asked) in
        [("ISR:tamar", &path), ("USA:bob", &path), ("USA:dana", &path), ("KOR:minjun", &path), ("ISR:avi", &elsewhere)]
    {
        let sender = Sender::new(&stage, member, proposal);
        let requests: [fn(&Sender, &str) -> RequestBuilder; 4] = [
            |sender, path| sender.raw.request(Method::GET, path),
            |sender, path| sender.raw.request(Method::HEAD, path),
            |sender, path| sender.appending(path, 0).body("x"),
            |sender, path| sender.removing(path),
        ];
        for request in requests {
            let found = comparable(request(&sender, asked)).await;
            assert_eq!(found, comparable(request(&sender, &absent)).await, "{member}");
            assert_eq!(found.0, 404, "{member}");
        }
    }
    assert_eq!(Sender::new(&stage, "ISR:avi", proposal).append(&path, 0, &bytes).await.status(), 204);
    stage.stop().await;
}

#[tokio::test]
async fn request_that_does_not_follow_the_protocol_is_refused() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", proposal), sealed(1000));
    let path = avi.begin(bytes.len(), None).await;
    for (status, slug, request) in [
        (412, "tus-version", avi.raw.request(Method::PATCH, &path).header("Upload-Offset", 0).body("x")),
        (400, "malformed", avi.appending(&path, 0).header("Tus-Resumable", "1.0.0").body("x")),
        (409, "other-offset", avi.appending(&path, 1).body("x")),
        (413, "too-large", avi.appending(&path, 0).body([&bytes[..], b"x"].concat())),
        (
            400,
            "malformed",
            avi.raw
                .request(Method::PATCH, &path)
                .header("Tus-Resumable", "1.0.0")
                .header("Content-Type", UPLOAD_MEDIA_TYPE),
        ),
        (400, "malformed", avi.appending(&path, 0).header("Upload-Checksum", "sha1 AAAA").body("x")),
        (415, "wrong-media-type", avi.raw.request(Method::PATCH, &path).header("Tus-Resumable", "1.0.0").body("x")),
        (400, "malformed", avi.beginning(bytes.len(), None).body("x")),
        (400, "malformed", avi.beginning(0, None)),
        (422, "slot-media-type", avi.begins("annex", "application/pdf", 1000, None)),
        (413, "too-large", avi.begins("annex", "application/octet-stream", 200_001, None)),
        (422, "unknown-slot", avi.begins("poem", "application/pdf", 1000, None)),
    ] {
        assert_eq!(problem(request.send().await.unwrap()).await, (status, slug.to_owned()));
    }
    // The same request with the same key is the same upload.
    let key = fresh_key();
    let begin = || avi.beginning(bytes.len(), None).header("Idempotency-Key", "").send();
    assert_eq!(problem(begin().await.unwrap()).await.0, 400);
    let path_of_slot = format!("/v1/proposals/{proposal}/documents/annex/uploads");
    let begin = || {
        let request = avi.raw.request(Method::POST, &path_of_slot).header("Idempotency-Key", &key);
        let request = request.header("Tus-Resumable", "1.0.0").header("Upload-Length", bytes.len());
        request.header("Upload-Metadata", metadata("application/octet-stream", None)).send()
    };
    let (first, second) = (begin().await.unwrap(), begin().await.unwrap());
    assert_eq!(address(first), address(second));
    stage.stop().await;
}

#[tokio::test]
async fn bytes_that_are_not_a_complete_age_file_of_the_announced_digest_are_thrown_away() {
    let stage = Stage::open().await;
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", stage.begun().await), sealed(150_000));
    let announced = Some(Sha256::of(b"something else"));
    let half = bytes.len() / 2;
    for at_once in [true, false] {
        let path = avi.begin(bytes.len(), announced).await;
        let first = if at_once { 0 } else { half };
        if !at_once {
            assert_eq!(avi.append(&path, 0, &bytes[..half]).await.status(), 204);
        }
        let refused = problem(avi.append(&path, first, &bytes[first..]).await).await;
        assert_eq!(refused, (422, "digest-mismatch".to_owned()));
        assert_eq!((avi.offset(&path).await, kept(&stage)), (0, 0), "it begins again");
    }
    // Plaintext is refused with its first bytes, and what lacks its end with its last one.
    let path = avi.begin(bytes.len(), None).await;
    assert_eq!(problem(avi.append(&path, 0, b"%PDF-1.7").await).await, (422, "not-sealed".to_owned()));
    assert_eq!(kept(&stage), 0);
    let mac = bytes.windows(4).position(|part| part == b"\n---").unwrap() + 1;
    let header = mac + bytes[mac..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    // A nonce and less than the tag of a chunk.
    let short = header + 16 + 10;
    let path = avi.begin(short, None).await;
    assert_eq!(avi.append(&path, 0, &bytes[..header]).await.status(), 204);
    let refused = problem(avi.append(&path, header, &bytes[header..short]).await).await;
    assert_eq!((refused, kept(&stage)), ((422, "not-sealed".to_owned()), 0));
    stage.stop().await;
}

#[tokio::test]
async fn upload_is_judged_by_the_arrival_of_its_last_byte_and_kept_while_it_is_refused() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", proposal), sealed(90_000));
    let (path, last) = (avi.begin(bytes.len(), None).await, bytes.len() - 1);
    assert_eq!(avi.append(&path, 0, &bytes[..last]).await.status(), 204);
    // Here in time, though others keep the writer busy until later.
    let other = stage.begun().await;
    let also = Sender::new(&stage, "ISR:avi", other);
    let path_in_time = also.begin(bytes.len(), None).await;
    stage.clock.set(stage.deadline);
    let busy = stage.server.exchange.db.write().await.unwrap();
    let in_time = also.appending(&path_in_time, 0).body(bytes.clone());
    let answer = tokio::spawn(in_time.send());
    until("the act that waits", async || (stage.server.exchange.db.members_waiting() == 1).then_some(())).await;
    stage.clock.set(stage.deadline + SECOND);
    drop(busy);
    assert_eq!(answer.await.unwrap().unwrap().status(), 204);
    assert_eq!(also.shown(&path_in_time).await.document.unwrap().uploaded_at.0, stage.deadline);

    // Begun in time is not arrived in time. Its bytes are kept, and its last byte is asked for again.
    let refused = problem(avi.append(&path, last, &bytes[last..]).await).await;
    assert_eq!(refused, (409, "not-committed".to_owned()));
    assert_eq!(avi.offset(&path).await, last);
    let more = ExtendCall {
        until: Time(stage.deadline + SignedDuration::from_hours(24)),
        reason: "an outage".into(),
        partner: None,
        reviews: false,
        proposal: None,
        dry_run: false,
    };
    stage.client("USA:dana").api().extend_call(stage.call, &more).await.unwrap();
    assert_eq!(avi.append(&path, last, &bytes[last..]).await.status(), 204);
    assert_eq!(avi.shown(&path).await.document.unwrap().sha256, Sha256::of(&bytes));
    stage.stop().await;
}

#[tokio::test]
async fn after_the_deadline_only_what_everybody_signed_for_follows() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let plan = stage.file("final.pdf", &pdf("the final work plan"));
    let client = stage.client("ISR:avi");
    let record = client.seal_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    for member in ["ISR:avi", "USA:bob"] {
        stage.sign(member, proposal).await;
    }
    let bytes = fs::read(record.sealed.as_ref().unwrap()).unwrap();
    stage.clock.set(stage.deadline + SECOND);
    let avi = Sender::new(&stage, "ISR:avi", proposal);
    // Without a digest, as many bytes may be the ones. Others are refused when they are here.
    let other = {
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        other
    };
    let path = address(avi.begins("work-plan", "application/pdf", other.len(), None).send().await.unwrap());
    assert_eq!(problem(avi.append(&path, 0, &other).await).await, (409, "not-committed".to_owned()));
    let fewer = avi.begins("work-plan", "application/pdf", bytes.len() - 1, None).send().await.unwrap();
    assert_eq!(problem(fewer).await, (409, "not-committed".to_owned()));
    let path = address(avi.begins("work-plan", "application/pdf", bytes.len(), None).send().await.unwrap());
    assert_eq!(avi.append(&path, 0, &bytes[..500]).await.status(), 204);
    assert_eq!(avi.append(&path, 500, &bytes[500..]).await.status(), 204);
    assert_eq!(client.api().proposal(proposal).await.unwrap().status, Status::Submitted);
    stage.clock.set(stage.deadline + GRACE + SECOND);
    let late = avi.begins("work-plan", "application/pdf", bytes.len(), Some(record.sha256)).send().await.unwrap();
    assert_eq!(problem(late).await, (409, "grace-passed".to_owned()));
    stage.stop().await;
}

async fn upload_goes(store: Store) {
    let Some(stage) = Stage::open_with(store, &[("quotas.unfinished_uploads_hours", "2")]).await else { return };
    let proposal = stage.begun().await;
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", proposal), sealed(1000));
    let tell = async |path: &str| avi.raw.request(Method::HEAD, path).send().await.unwrap().status().as_u16();
    // Taken back by its member.
    let path = avi.begin(bytes.len(), None).await;
    assert_eq!(avi.append(&path, 0, &bytes[..10]).await.status(), 204);
    assert_eq!(kept(&stage), 1);
    assert_eq!(avi.removing(&path).send().await.unwrap().status(), 204);
    assert_eq!((tell(&path).await, kept(&stage)), (404, 0));
    // By another one to the same slot.
    let path = avi.begin(bytes.len(), None).await;
    assert_eq!(avi.append(&path, 0, &bytes[..10]).await.status(), 204);
    let next = avi.begin(bytes.len(), None).await;
    assert_eq!((tell(&path).await, tell(&next).await, kept(&stage)), (404, 200, 0));
    // By time, a finished one too; its document stays.
    assert_eq!(avi.append(&next, 0, &bytes[..10]).await.status(), 204);
    let done = address(avi.begins("work-plan", "application/pdf", bytes.len(), None).send().await.unwrap());
    assert_eq!(avi.append(&done, 0, &bytes).await.status(), 204);
    let exchange = &stage.server.exchange;
    assert_eq!(upkeep::drop_uploads(exchange).await.unwrap(), 0);
    stage.clock.pass(stage.clock.now() + SignedDuration::from_hours(2));
    // The latest instant on record counts, so something has to happen.
    stage.client("ISR:avi").api().remove_document(proposal, &slug("work-plan")).await.unwrap();
    assert_eq!(upkeep::drop_uploads(exchange).await.unwrap(), 2);
    assert_eq!((tell(&next).await, tell(&done).await, kept(&stage)), (404, 404, 0));
    assert_eq!(upkeep::drop_uploads(exchange).await.unwrap(), 0);
    stage.stop().await;
}

#[tokio::test]
async fn upload_goes_when_it_is_taken_back_or_replaced_or_its_time_is_over() {
    upload_goes(Store::Sqlite).await;
    upload_goes(Store::Postgres).await;
}

#[tokio::test]
async fn upload_counts_as_on_its_way_until_it_is_at_its_end() {
    let settings = [("quotas.arriving_bytes_per_member", "120000"), ("quotas.bytes_per_partner", "200000")];
    let stage = Stage::open_with(Store::Sqlite, &settings).await.unwrap();
    let (proposal, other) = (stage.begun().await, stage.begun().await);
    stage.joins("ISR:avi", other, "ISR:tamar").await;
    let bytes = sealed(90_000);
    let avi = Sender::new(&stage, "ISR:avi", proposal);
    let path = avi.begin(bytes.len(), None).await;
    // Nothing of it is here, and it counts. For what takes its place there is room.
    let begun = Sender::new(&stage, "ISR:avi", other).beginning(bytes.len(), None).send().await.unwrap();
    assert_eq!(problem(begun).await, (409, "quota-reached".to_owned()));
    let (annex, file) = (slug("annex"), stage.file("annex.bin", &vec![1; 90_000]));
    let refused = stage.client("ISR:avi").put_document(other, &annex, &file, None, quiet());
    assert_eq!(refused.await.unwrap_err().slug(), Some("quota-reached"));
    let path_again = avi.begin(bytes.len(), None).await;
    assert_ne!(path, path_again);
    // A colleague has bytes of their own on the way, until the nation's are used up.
    let tamar = Sender::new(&stage, "ISR:tamar", other);
    let of_tamar = tamar.begin(bytes.len(), None).await;
    let more = tamar.begins("work-plan", "application/pdf", 25_000, None).send().await.unwrap();
    assert_eq!(problem(more).await, (409, "quota-reached".to_owned()));
    for (sender, path) in [(&avi, &path_again), (&tamar, &of_tamar)] {
        assert_eq!(sender.append(path, 0, &bytes).await.status(), 204);
    }
    stage.stop().await;
}

#[tokio::test]
async fn upload_leaves_the_reserve_of_the_disk() {
    let settings = [("blobs.reserve_bytes", "9000000000000000000")];
    let stage = Stage::open_with(Store::Sqlite, &settings).await.unwrap();
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", stage.begun().await), sealed(1000));
    let path = avi.begin(bytes.len(), None).await;
    assert_eq!(problem(avi.append(&path, 0, &bytes).await).await, (507, "storage-full".to_owned()));
    assert_eq!(kept(&stage), 0);
    stage.stop().await;
}

#[tokio::test]
async fn member_who_left_the_party_meanwhile_adds_nothing() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let (tamar, bytes) = (Sender::new(&stage, "ISR:tamar", proposal), sealed(1000));
    let path = tamar.begin(bytes.len(), None).await;
    assert_eq!(tamar.append(&path, 0, &bytes[..10]).await.status(), 204);
    stage.client("ISR:tamar").remove_member(proposal, &id("ISR:tamar")).await.unwrap();
    assert_eq!(kept(&stage), 0, "it goes with the part in the proposal");
    assert_eq!(problem(tamar.append(&path, 10, &bytes[10..]).await).await.0, 404);
    assert!(stage.client("ISR:avi").api().documents(proposal).await.unwrap().is_empty());
    stage.stop().await;
}

/// Kills the server again and again while it takes an upload.
async fn survives_kills(database_url: Option<String>) {
    let mut numbers = Numbers::new(20_260_302);
    let site = Site::new(database_url);
    let world = site.world(crate::process::NATIONS).await;
    let proposal = crate::process::open_proposal(&world).await;
    world.stop().await;
    let mut server = site.serve().await;
    let speaker = site.speaker("ISR:avi");
    let bytes = sealed(3_900_000);
    let request = |server: &crate::harness::process::Server, method: Method, path: &str| {
        speaker.http.request(method, format!("{}{path}", server.base())).header("Tus-Resumable", "1.0.0")
    };
    let begun = request(&server, Method::POST, &format!("/v1/proposals/{proposal}/documents/work-plan/uploads"))
        .header("Idempotency-Key", fresh_key())
        .header("Upload-Length", bytes.len())
        .header("Upload-Metadata", metadata("application/pdf", Some(Sha256::of(&bytes))));
    let path = address(begun.send().await.unwrap());
    let told = async |server: &crate::harness::process::Server| {
        offset(&request(server, Method::HEAD, &path).send().await.unwrap())
    };
    let mut at = 0;
    for _ in 0..6 {
        let rest: Vec<Bytes> = bytes[at..].chunks(64 << 10).map(|piece| Bytes::from(piece.to_vec())).collect();
        let dies_after = usize::try_from(numbers.below(rest.len() as u64)).unwrap();
        let (reached, mut heard) = mpsc::channel::<()>(1);
        let pieces = stream::iter(rest.into_iter().enumerate()).then(move |(number, piece)| {
            let reached = reached.clone();
            async move {
                if number == dies_after {
                    let _ = reached.send(()).await;
                }
                Ok::<_, io::Error>(piece)
            }
        });
        let sent = request(&server, Method::PATCH, &path)
            .header("Upload-Offset", at)
            .header("Content-Type", UPLOAD_MEDIA_TYPE)
            .body(reqwest::Body::wrap_stream(pieces));
        let sent = tokio::spawn(sent.send());
        heard.recv().await;
        server.child.kill().await.unwrap();
        let _ = tokio::time::timeout(Duration::from_mins(1), sent).await;
        server = site.serve().await;
        let now = told(&server).await;
        assert!(now >= at && now <= bytes.len(), "{at} {now}");
        at = now;
        if at == bytes.len() {
            break;
        }
    }
    if at < bytes.len() {
        let rest = request(&server, Method::PATCH, &path).header("Upload-Offset", at);
        let rest = rest.header("Content-Type", UPLOAD_MEDIA_TYPE).body(bytes[at..].to_vec()).send().await.unwrap();
        assert_eq!((rest.status().as_u16(), offset(&rest)), (204, bytes.len()));
    }
    let shown: ResumableUpload = request(&server, Method::GET, &path).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown.document.unwrap().sha256, Sha256::of(&bytes));
    server.stop().await;
}

#[tokio::test]
async fn upload_goes_on_whenever_the_server_is_killed() {
    survives_kills(None).await;
    if let Some(database) = Database::fresh().await {
        survives_kills(Some(database.url())).await;
    }
}

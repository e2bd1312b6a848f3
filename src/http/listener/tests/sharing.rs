//! What one member or partner holds leaves room for the others.

use super::*;

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
    while begin(&greedy).await.0 != 200 {}
}

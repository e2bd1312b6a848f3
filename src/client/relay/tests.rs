//! Whom a relay tells, and how often: whatever the exchange says, and whatever becomes of what is sent.

use super::*;
use contacts::ContactRow;
use jiff::{SignedDuration, civil::Time, tz::TimeZone};

fn id(member: &str) -> MemberId {
    member.parse().unwrap()
}

fn nobody() -> Result<Client> {
    Err(ClientError::local("nobody is asked in this test", ""))
}

fn relay(teller: Teller) -> (tempfile::TempDir, Relay<impl Fn() -> Result<Client>>) {
    let folder = tempfile::tempdir().unwrap();
    let partner: PartnerCode = "ISR".parse().unwrap();
    let row = |handle, address| ContactRow { line: 2, handle, address, zone: "Asia/Jerusalem" };
    let rows = [row("avi", "avi@example.org"), row("gal", "")];
    let contacts = Contacts::of(&partner, rows).unwrap();
    let habit = Habit { digest_at: Time::constant(8, 0, 0, 0), zone: TimeZone::UTC };
    let (state, _) = RelayState::open(&folder.path().join("relay.json")).unwrap();
    let plan = RelayPlan { partner, contacts, habit, teller };
    (folder, Relay::new(nobody, plan, state, Ambient::system()))
}

fn waiting() -> BTreeMap<MemberId, MemberLoad> {
    let load = |items| MemberLoad { items, next_due_at: None };
    [(id("ISR:avi"), load(2)), (id("ISR:gal"), load(1)), (id("ISR:tamar"), load(0))].into()
}

fn look(there: Timestamp, here: Timestamp) -> RelayLook {
    RelayLook { waiting: waiting(), there, here }
}

fn members(tellings: &[Telling]) -> Vec<String> {
    tellings.iter().map(|telling| telling.member.to_string()).collect()
}

#[test]
fn members_are_told_at_their_own_hour_and_those_without_an_address_by_a_program_alone() {
    let mailer = Mailer::new(&"smtp+plain://127.0.0.1:1".parse().unwrap(), "relay@example.org", None, None).unwrap();
    let (_folder, relay) = relay(Teller::Mail(Box::new(mailer)));
    let at_seven: Timestamp = "2026-03-02T07:00:00Z".parse().unwrap();
    let round = relay.plan(&look(at_seven, at_seven));
    assert_eq!(
        (members(&round.tellings), members(&round.no_address)),
        (vec!["ISR:avi".into()], vec!["ISR:gal".into()])
    );
    assert_eq!(round.tellings[0].sentence, "2 items, none with a date; open your client");
    assert_eq!(round.notes.len(), 1, "nothing waits for Tamar");
    let at_five = at_seven - SignedDuration::from_hours(2);
    assert!(relay.plan(&look(at_five, at_five)).tellings.is_empty());
    let (_folder, hooked) = self::relay(Teller::Hook(Hook::new("/nowhere".into())));
    assert_eq!(members(&hooked.plan(&look(at_seven, at_seven)).tellings), ["ISR:avi", "ISR:gal"]);
}

#[test]
fn exchange_whose_clock_leaps_or_that_names_ever_nearer_instants_makes_no_flood() {
    let began: Timestamp = "2026-03-02T07:00:00Z".parse().unwrap();
    let (minute, day) = (SignedDuration::from_mins(1), SignedDuration::from_hours(24));
    for leap in [day, SignedDuration::ZERO] {
        let (_folder, mut relay) = relay(Teller::Hook(Hook::new("/nowhere".into())));
        let mut told = BTreeMap::<MemberId, Vec<i32>>::new();
        for count in 0..600 {
            let here = began + minute * count * 5;
            let mut look = look(here + leap * count, here);
            for load in look.waiting.values_mut().filter(|load| load.items > 0) {
                load.next_due_at = Some(look.there + day * 10 - minute * count * 20);
            }
            for telling in relay.plan(&look).tellings {
                relay.state.begin(&telling.member, telling.after, here);
                relay.state.succeed(&telling.member);
                told.entry(telling.member).or_default().push(count);
            }
            relay.state.retain(&BTreeSet::new(), here);
        }
        assert_eq!(told.len(), 2);
        for counts in told.values() {
            assert!(counts.len() > MOST_A_DAY, "the next day it goes on: {counts:?}");
            // 288 looks are 24 hours.
            assert!(counts.windows(MOST_A_DAY + 1).all(|some| some[MOST_A_DAY] - some[0] >= 288), "{counts:?}");
        }
    }
}

#[test]
fn round_goes_by_what_it_heard_for_five_minutes_and_not_after_the_clock_was_set_back() {
    let (_folder, relay) = relay(Teller::Hook(Hook::new("/nowhere".into())));
    let (now, minute) = (relay.ambient.clock.now(), SignedDuration::from_mins(1));
    let is_fresh = |here: Timestamp| relay.is_fresh(&look(now, here));
    assert!(is_fresh(now) && is_fresh(now - minute * 4));
    assert!(!is_fresh(now - minute * 5) && !is_fresh(now + minute * 60));
}

#[test]
fn failures_in_a_row_that_are_nobodys_own_count_as_the_server_being_away() {
    let passing = TellFault::Passing("come again".to_owned());
    let course = Course::new(&|| false);
    for _ in 0..AWAY_AFTER {
        assert!(!course.ends());
        course.note(Some(&passing));
    }
    assert!(course.is_away() && course.ends());
    course.note(None);
    assert!(course.ends(), "one that was under way changes nothing");
    let course = Course::new(&|| false);
    for fault in [None, Some(TellFault::Refused("no such mailbox".to_owned()))] {
        (1..AWAY_AFTER).for_each(|_| course.note(Some(&passing)));
        course.note(fault.as_ref());
    }
    assert!(!course.ends());
    assert!(Course::new(&|| true).ends() && !Course::new(&|| true).is_away());
}

/// Tells those whom it is time to tell, in one batch.
async fn tell_all<C: Fn() -> Result<Client>>(relay: &mut Relay<C>, here: Timestamp) -> (Result<()>, Vec<RelayAct>) {
    let (tellings, mut acts) = (relay.plan(&look(here, here)).tellings, Vec::new());
    let mut report = |event: &RelayEvent| acts.push(event.act);
    let course = Course::new(&|| false);
    let told = relay.tell_batch(&tellings, here, &course, &mut RelayTally::default(), &mut report).await;
    (told, acts)
}

#[tokio::test]
async fn server_that_takes_a_connection_and_says_nothing_ends_the_round_and_nobody_counts_as_told() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("smtp+plain://{}", server.local_addr().unwrap()).parse().unwrap();
    let mailer = Mailer::new(&address, "relay@example.org", None, None).unwrap();
    let (folder, mut relay) = relay(Teller::Mail(Box::new(mailer.waiting_for(Duration::from_millis(200)))));
    let now = "2026-03-02T07:00:00Z".parse().unwrap();
    let (told, acts) = tell_all(&mut relay, now).await;
    assert!(told.unwrap_err().to_string().contains("did not answer") && acts.is_empty());
    let plan = relay.plan.clone();
    drop(relay);
    let (state, _) = RelayState::open(&folder.path().join("relay.json")).unwrap();
    let relay = Relay::new(nobody, plan, state, Ambient::system());
    assert_eq!(members(&relay.plan(&look(now, now)).tellings), ["ISR:avi"]);
}

/// The state that another relay held until now. A program that some other test of this process is just starting holds what is open here, the
/// lock among it, until it has begun.
#[cfg(unix)]
fn opened(state: &std::path::Path) -> (RelayState, Option<String>) {
    let tries = (0..1_000_000).map(|_| RelayState::open(state).inspect_err(|_| std::thread::yield_now()));
    tries.flatten().next().expect("the relay that held it is gone")
}

#[cfg(unix)]
#[tokio::test]
async fn member_counts_as_told_on_the_disk_before_it_is_done_and_where_nobody_knows_whether_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hook");
    let now = "2026-03-02T07:00:00Z".parse().unwrap();
    for (rest, patience, act) in [
        ("", 30_000, RelayAct::Told),
        ("exec sleep 600", 3_000, RelayAct::MaybeTold),
        ("exit 3", 30_000, RelayAct::NotTold),
    ] {
        let hook = Hook::new(program.clone()).waiting_for(Duration::from_millis(patience));
        let (own, mut relay) = relay(Teller::Hook(hook));
        let (state, seen) = (own.path().join("relay.json"), own.path().join("seen"));
        let text = format!("#!/bin/sh\ncat '{}' >> '{}'\n{rest}\n", state.display(), seen.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let (told, acts) = tell_all(&mut relay, now).await;
        told.unwrap();
        assert_eq!(acts, [act; 2]);
        let seen = std::fs::read_to_string(&seen).unwrap();
        assert_eq!(seen.matches("\"told_at\":[\"2026-03-02T07:00:00Z\"]").count(), 4, "{seen}");
        drop(relay);
        let (state, _) = opened(&state);
        let later = now + SignedDuration::from_mins(20);
        let (_folder, mut again) = self::relay(Teller::Hook(Hook::new(program.clone())));
        again.state = state;
        let is_tried_again = act == RelayAct::NotTold;
        assert_eq!(again.plan(&look(later, later)).tellings.len(), if is_tried_again { 2 } else { 0 });
        // A program that fails is tried again, and each start counts.
        for _ in 1..MOST_A_DAY {
            again.state.begin(&id("ISR:avi"), SentNotices::default(), later);
        }
        assert!(again.state.has_enough(&id("ISR:avi"), later));
    }
}

#[tokio::test]
async fn program_that_does_not_start_ends_the_round() {
    let (_folder, relay) = relay(Teller::Hook(Hook::new("/nowhere/at/all".into())));
    let now = "2026-03-02T07:00:00Z".parse().unwrap();
    let round = relay.plan(&look(now, now));
    let (_, fault) = relay.tell(&round.tellings[0], now, &Course::new(&|| false)).await;
    assert!(matches!(fault, Some(TellFault::Away(why)) if why.contains("does not start")));
}

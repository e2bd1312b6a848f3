//! A fair queue for scarce slots: one writer, the readers, the long reads. Among
//! those that wait the partners take turns, and within a partner its members, so that a thousand requests of one keep nobody else waiting for
//! more than one of them. And where there are several places, the last free one goes only to a partner that holds none, so that no partner
//! has them all, however long it holds each.
//!
//! What waits is in memory and belongs to this server. Servers that share a database take turns at writing one by one.

use crate::domain::id::{MemberId, PartnerCode, Sha256};
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// For whom something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The exchange itself: what runs daily, its readiness, its operator.
    Exchange,
    Member(MemberId),
    /// The holder of this certificate of a partner, before it is known who that is.
    Holder(PartnerCode, Sha256),
}

impl Whose {
    /// The exchange takes turns with the partners as if it were one. It takes the last place, too: what it does for all waits for no partner.
    fn partner(&self) -> Option<&PartnerCode> {
        match self {
            Self::Exchange => None,
            Self::Member(member) => Some(member.partner()),
            Self::Holder(partner, _) => Some(partner),
        }
    }
}

/// Places, and those who wait for one. Cheap to clone; all clones are one queue. `S` is a share in a turn of somebody else, where those that
/// come next may get one.
#[derive(Debug)]
pub struct Queue<S = Infallible>(Arc<Mutex<QueueState<S>>>);

impl<S> Clone for Queue<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct QueueState<S> {
    places: usize,
    free: usize,
    /// How many places each partner holds; one that holds none is not here.
    held: BTreeMap<PartnerCode, usize>,
    /// The partner that comes next is first.
    partners: VecDeque<Line<Option<PartnerCode>, OfMember<S>>>,
}

/// What of one member waits, the oldest first.
type OfMember<S> = Line<Whose, Waiter<S>>;

#[derive(Debug)]
struct Waiter<S> {
    sender: oneshot::Sender<Given<S>>,
    takes_share: bool,
}

/// What one waited for.
#[derive(Debug)]
pub enum Given<S> {
    Turn(Turn<S>),
    /// In the turn of the one before.
    Share(S),
}

/// What waits under one name, and is never empty.
#[derive(Debug)]
struct Line<K, V> {
    name: K,
    waiting: VecDeque<V>,
}

/// A place. Dropped, it is passed on.
#[derive(Debug)]
pub struct Turn<S = Infallible>(Option<HeldPlace<S>>);

#[derive(Debug)]
struct HeldPlace<S> {
    queue: Queue<S>,
    /// Which partner holds it; none for the exchange itself.
    partner: Option<PartnerCode>,
}

impl<S> Drop for Turn<S> {
    fn drop(&mut self) {
        if let Some(place) = self.0.take() {
            place.queue.pass_on(place.partner.as_ref());
        }
    }
}

impl<S> Turn<S> {
    /// Whether the one who comes next takes a share in this turn.
    pub(super) fn is_shared_by_next(&self) -> bool {
        self.0.as_ref().is_some_and(|place| place.queue.state().first().is_some_and(|first| first.takes_share))
    }

    /// The one who comes next, if they take a share in this turn: nobody is passed over.
    pub(super) fn next_sharer(&self) -> Option<oneshot::Sender<Given<S>>> {
        let mut state = self.0.as_ref()?.queue.state();
        if state.first()?.takes_share { state.take_first().map(|(sender, _)| sender) } else { None }
    }
}

impl<S> Queue<S> {
    /// So many places, all of them free.
    #[must_use]
    pub fn of(places: usize) -> Self {
        let state = QueueState { places, free: places, held: BTreeMap::new(), partners: VecDeque::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for the turn, for as long as the caller does: a caller who goes away leaves the queue.
    pub async fn take(&self, whose: Whose) -> Turn<S> {
        match self.wait(whose, false).await {
            Given::Turn(turn) => turn,
            Given::Share(_) => unreachable!("only those who take a share are given one"),
        }
    }

    /// The same, or for a share in the turn of the one before.
    pub async fn take_or_share(&self, whose: Whose) -> Given<S> {
        self.wait(whose, true).await
    }

    async fn wait(&self, whose: Whose, takes_share: bool) -> Given<S> {
        let partner = whose.partner().cloned();
        let waiting = self.state().enter(whose, takes_share);
        match waiting {
            None => Given::Turn(self.turn(partner)),
            Some(receiver) => receiver.await.expect("each waiter is passed the turn, and the queue outlives them"),
        }
    }

    /// The turn at a place that is counted as held.
    fn turn(&self, partner: Option<PartnerCode>) -> Turn<S> {
        Turn(Some(HeldPlace { queue: self.clone(), partner }))
    }

    /// Whether everybody who comes now has to wait.
    pub(super) fn is_taken(&self) -> bool {
        self.state().free == 0
    }

    /// How much of members waits.
    pub(crate) fn members(&self) -> usize {
        let state = self.state();
        let partners = state.partners.iter().filter(|partner| partner.name.is_some());
        let members = partners.flat_map(|partner| &partner.waiting);
        members.flat_map(|member| &member.waiting).filter(|waiter| !waiter.sender.is_closed()).count()
    }

    /// Gives the place that this partner held, and any other that is free, to those who come next and still wait.
    fn pass_on(&self, partner: Option<&PartnerCode>) {
        let mut next = self.state().leave(partner);
        while let Some((sender, partner)) = next {
            next = match sender.send(Given::Turn(self.turn(partner))) {
                Ok(()) => self.state().next(),
                // They have gone away: the place is still to be passed on, here and not by dropping the turn.
                Err(Given::Turn(mut turn)) => {
                    let partner = turn.0.take().and_then(|place| place.partner);
                    self.state().leave(partner.as_ref())
                }
                Err(Given::Share(_)) => unreachable!("a turn was sent"),
            };
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the turn of one who waited is sent, and which partner holds the place from then on.
type Next<S> = (oneshot::Sender<Given<S>>, Option<PartnerCode>);

impl<S> QueueState<S> {
    /// Takes a place, or waits for one where there is none for this partner.
    fn enter(&mut self, whose: Whose, takes_share: bool) -> Option<oneshot::Receiver<Given<S>>> {
        if self.free > 0 && self.may_hold_more(whose.partner()) {
            self.occupy(whose.partner());
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let members = line(&mut self.partners, whose.partner().cloned());
        line(members, whose).push_back(Waiter { sender, takes_share });
        Some(receiver)
    }

    /// Whether this partner may take a place that is free: the last one is for those who hold none. A queue of one place has no other.
    fn may_hold_more(&self, partner: Option<&PartnerCode>) -> bool {
        self.places == 1 || self.free > 1 || partner.is_none_or(|partner| !self.held.contains_key(partner))
    }

    fn occupy(&mut self, partner: Option<&PartnerCode>) {
        self.free -= 1;
        if let Some(partner) = partner {
            *self.held.entry(partner.clone()).or_default() += 1;
        }
    }

    /// Gives a place back, and takes the one who comes next out of the queue.
    fn leave(&mut self, partner: Option<&PartnerCode>) -> Option<Next<S>> {
        self.free += 1;
        if let Some(partner) = partner
            && let Some(held) = self.held.get_mut(partner)
        {
            *held -= 1;
            if *held == 0 {
                self.held.remove(partner);
            }
        }
        self.next()
    }

    /// Takes the one who comes next out of the queue, if there is a place for them.
    fn next(&mut self) -> Option<Next<S>> {
        if self.free == 0 {
            return None;
        }
        let next = self.take_first()?;
        self.occupy(next.1.as_ref());
        Some(next)
    }

    /// The one who comes next.
    fn first(&mut self) -> Option<&Waiter<S>> {
        let place = self.first_partner()?;
        self.partners.get(place)?.waiting.front()?.waiting.front()
    }

    /// Takes the one who comes next out of the queue, and puts those behind them into their new order.
    fn take_first(&mut self) -> Option<Next<S>> {
        let place = self.first_partner()?;
        let mut partner = self.partners.remove(place)?;
        let mut member = partner.waiting.pop_front()?;
        let next = member.waiting.pop_front()?;
        let name = partner.name.clone();
        if !member.waiting.is_empty() {
            partner.waiting.push_back(member);
        }
        if !partner.waiting.is_empty() {
            self.partners.push_back(partner);
        }
        Some((next.sender, name))
    }

    /// In which place the partner stands that comes next. One that may hold no more keeps its place and is passed over. Those who have gone
    /// away are forgotten on the way there: they take no turn from those who wait.
    fn first_partner(&mut self) -> Option<usize> {
        let mut place = 0;
        while let Some(name) = self.partners.get(place).map(|partner| partner.name.clone()) {
            if !self.may_hold_more(name.as_ref()) {
                place += 1;
            } else if self.partners[place].begins_with_one_who_waits() {
                return Some(place);
            } else {
                self.partners.remove(place);
            }
        }
        None
    }
}

impl<S> Line<Option<PartnerCode>, OfMember<S>> {
    /// Forgets those in front who have gone away.
    fn begins_with_one_who_waits(&mut self) -> bool {
        while let Some(member) = self.waiting.front_mut() {
            member.waiting.retain(|waiter| !waiter.sender.is_closed());
            if !member.waiting.is_empty() {
                return true;
            }
            self.waiting.pop_front();
        }
        false
    }
}

/// The line of that name; a new one comes last.
fn line<K: PartialEq, V>(lines: &mut VecDeque<Line<K, V>>, name: K) -> &mut VecDeque<V> {
    let place = lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
        lines.push_back(Line { name, waiting: VecDeque::new() });
        lines.len() - 1
    });
    &mut lines[place].waiting
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    /// One who waits, and what they would write.
    struct Waiting<'q> {
        what: &'static str,
        turn: Pin<Box<dyn Future<Output = Turn<&'static str>> + 'q>>,
    }

    impl Waiting<'_> {
        fn poll(&mut self) -> Poll<Turn<&'static str>> {
            self.turn.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }
    }

    /// Puts somebody into the queue. What they write begins with their name.
    fn wait<'q>(queue: &'q Queue<&'static str>, what: &'static str) -> Waiting<'q> {
        let name = what.split(' ').next().unwrap();
        let whose = name.parse().map_or(Whose::Exchange, Whose::Member);
        let mut waiting = Waiting { what, turn: Box::pin(queue.take(whose)) };
        assert!(waiting.poll().is_pending(), "the turn is taken");
        waiting
    }

    /// What is written, in its order, once the turn that is taken ends.
    fn order(turn: Turn<&'static str>, mut waiting: Vec<Waiting<'_>>) -> Vec<&'static str> {
        let (mut order, mut turn) = (Vec::new(), Some(turn));
        while !waiting.is_empty() {
            drop(turn.take());
            for place in 0..waiting.len() {
                if let Poll::Ready(theirs) = waiting[place].poll() {
                    assert!(turn.is_none(), "two have the turn");
                    turn = Some(theirs);
                    order.push(waiting.remove(place).what);
                    break;
                }
            }
            assert!(turn.is_some(), "nobody has the turn and somebody waits");
        }
        order
    }

    fn taken(queue: &Queue<&'static str>) -> Turn<&'static str> {
        match Box::pin(queue.take(Whose::Exchange)).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => turn,
            Poll::Pending => panic!("the turn is free"),
        }
    }

    #[test]
    fn partners_take_turns_and_within_a_partner_its_members() {
        let queue = Queue::of(1);
        let turn = taken(&queue);
        let acts = ["USA:a 1", "USA:a 2", "USA:a 3", "USA:b 1", "ISR:c 1", "ISR:c 2", "beat"];
        let waiting = acts.map(|act| wait(&queue, act)).into();
        assert_eq!(order(turn, waiting), ["USA:a 1", "ISR:c 1", "beat", "USA:b 1", "ISR:c 2", "USA:a 2", "USA:a 3"]);
        drop(taken(&queue));
    }

    #[test]
    fn one_who_comes_late_waits_for_one_act_of_each_partner() {
        let queue = Queue::of(1);
        let turn = taken(&queue);
        let flood = vec!["USA:a flood"; 1000];
        let mut waiting: Vec<_> = flood.into_iter().map(|act| wait(&queue, act)).collect();
        waiting.push(wait(&queue, "ISR:c 1"));
        let order = order(turn, waiting);
        assert_eq!(order.iter().position(|act| *act == "ISR:c 1"), Some(1));
        assert_eq!(order.len(), 1001);
    }

    #[test]
    fn one_who_goes_away_leaves_the_queue_before_and_after_the_turn_is_theirs() {
        let queue = Queue::of(1);
        let turn = taken(&queue);
        let (gone, passed_to, last) = (wait(&queue, "USA:a 1"), wait(&queue, "USA:a 2"), wait(&queue, "USA:a 3"));
        drop(gone);
        drop(turn);
        // It is theirs by now, and they never look.
        drop(passed_to);
        let mut last = last;
        let turn = last.poll();
        assert!(turn.is_ready());
        drop(turn);
        drop(taken(&queue));
    }

    #[test]
    fn as_many_have_a_turn_at_a_time_as_there_are_places() {
        let queue = Queue::of(2);
        let (first, second) = (taken(&queue), taken(&queue));
        let mut waiting = [wait(&queue, "USA:a 1"), wait(&queue, "USA:a 2"), wait(&queue, "ISR:c 1")];
        drop(first);
        drop(second);
        let turns = waiting.each_mut().map(Waiting::poll);
        assert!(matches!(turns, [Poll::Ready(_), Poll::Pending, Poll::Ready(_)]));
        drop(turns);
        let third = waiting[1].poll();
        assert!(third.is_ready());
        drop((taken(&queue), third));
        let both = [taken(&queue), taken(&queue)];
        wait(&queue, "USA:a 3");
        drop(both);
    }

    /// Takes a place that there is for this member.
    fn held(queue: &Queue<&'static str>, member: &str) -> Turn<&'static str> {
        let whose = Whose::Member(member.parse().unwrap());
        match Box::pin(queue.take(whose)).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => turn,
            Poll::Pending => panic!("there is a place for {member}"),
        }
    }

    #[test]
    fn last_free_place_goes_only_to_a_partner_that_holds_none() {
        let queue = Queue::of(3);
        let [first, second] = ["USA:a", "USA:b"].map(|member| held(&queue, member));
        let mut more = wait(&queue, "USA:a 1");
        let of_other = held(&queue, "ISR:c");
        let mut third = wait(&queue, "KOR:d 1");
        // The one who waited longer is of a partner that holds a place still.
        drop(first);
        let of_third = third.poll();
        assert!(of_third.is_ready() && more.poll().is_pending());
        drop(of_third);
        assert!(more.poll().is_pending());
        drop(of_other);
        let of_first = more.poll();
        assert!(of_first.is_ready(), "there are two");
        let of_other = held(&queue, "ISR:c");
        drop((of_first, second, of_other));
        let state = queue.state();
        assert_eq!((state.free, state.held.len(), state.partners.len()), (3, 0, 0));
    }

    #[test]
    fn partner_that_gives_its_only_place_back_comes_in_its_turn() {
        let queue = Queue::of(2);
        let of_one = held(&queue, "USA:a");
        let (mut again, mut last) = (wait(&queue, "USA:a 1"), wait(&queue, "USA:a 2"));
        let _of_other = held(&queue, "ISR:c");
        let mut third = wait(&queue, "KOR:d 1");
        drop(of_one);
        let again = again.poll();
        assert!(again.is_ready() && third.poll().is_pending());
        drop(again);
        let third = third.poll();
        assert!(third.is_ready() && last.poll().is_pending());
        drop(third);
        assert!(last.poll().is_ready());
    }

    #[test]
    fn one_who_goes_away_takes_no_place_from_those_behind_them_who_hold_none() {
        let queue = Queue::of(2);
        let (of_one, of_other) = (held(&queue, "USA:a"), held(&queue, "ISR:c"));
        let (gone, more) = (wait(&queue, "KOR:d 1"), wait(&queue, "USA:a 1"));
        let mut third = wait(&queue, "GBR:e 1");
        drop(gone);
        drop(of_other);
        assert!(third.poll().is_ready());
        drop((of_one, more));
    }

    #[test]
    fn turn_is_shared_with_those_who_come_next_and_nobody_is_passed_over() {
        let queue = Queue::of(1);
        let turn = taken(&queue);
        let share = |whose: &str| Box::pin(queue.take_or_share(Whose::Member(whose.parse().unwrap())));
        let mut cx = Context::from_waker(Waker::noop());
        let mut reads = ["USA:a", "USA:a", "ISR:c", "USA:a"].map(share);
        let mut gone = share("ISR:c");
        assert!(reads.iter_mut().all(|read| read.as_mut().poll(&mut cx).is_pending()));
        assert!(gone.as_mut().poll(&mut cx).is_pending());
        let mut act = wait(&queue, "ISR:d 1");
        drop(gone);
        // Of each nation the first; then Israel's act comes before the second of the United States' reads ends.
        for place in [0, 2, 1] {
            assert!(turn.is_shared_by_next());
            turn.next_sharer().unwrap().send(Given::Share("a share")).unwrap();
            assert!(matches!(reads[place].as_mut().poll(&mut cx), Poll::Ready(Given::Share("a share"))));
        }
        assert!(!turn.is_shared_by_next());
        assert!(turn.next_sharer().is_none());
        drop(turn);
        let turn = act.poll();
        assert!(turn.is_ready());
        drop(turn);
        assert!(matches!(reads[3].as_mut().poll(&mut cx), Poll::Ready(Given::Turn(_))));
    }
}

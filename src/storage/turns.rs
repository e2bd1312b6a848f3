//! Who comes next where places are few: at writing, of which there is one, at reading the database, and at long looks over it. Among
//! those that wait the partners take turns, and within a partner its members, so that a thousand requests of one keep nobody else waiting for
//! more than one of them.
//!
//! What waits is in memory and belongs to this server. Servers that share a database take turns at writing one by one.

use crate::domain::id::{MemberId, PartnerCode, Sha256};
use std::{
    collections::VecDeque,
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
    /// The exchange takes turns with the partners as if it were one.
    fn partner(&self) -> Option<&PartnerCode> {
        match self {
            Self::Exchange => None,
            Self::Member(member) => Some(member.partner()),
            Self::Holder(partner, _) => Some(partner),
        }
    }
}

/// Places, and those who wait for one. Cheap to clone; all clones are one queue.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// The partner that comes next is first.
    partners: VecDeque<Line<Option<PartnerCode>, OfMember>>,
}

/// What of one member waits, the oldest first.
type OfMember = Line<Whose, oneshot::Sender<Turn>>;

/// What waits under one name, and is never empty.
#[derive(Debug)]
struct Line<K, V> {
    name: K,
    waiting: VecDeque<V>,
}

/// A place. Dropped, it is passed on.
#[derive(Debug)]
pub struct Turn(Option<Queue>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.pass_on();
        }
    }
}

impl Queue {
    /// So many places, all of them free.
    #[must_use]
    pub fn of(places: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: places, partners: VecDeque::new() })))
    }

    /// Waits for the turn, for as long as the caller does: a caller who goes away leaves the queue.
    pub async fn take(&self, whose: Whose) -> Turn {
        let waiting = {
            let mut state = self.state();
            if state.free == 0 {
                let (sender, receiver) = oneshot::channel();
                state.add(whose, sender);
                Some(receiver)
            } else {
                state.free -= 1;
                None
            }
        };
        match waiting {
            None => Turn(Some(self.clone())),
            Some(receiver) => receiver.await.expect("each waiter is passed the turn, and the queue outlives them"),
        }
    }

    /// Whether somebody who comes now has to wait.
    pub(super) fn is_taken(&self) -> bool {
        self.state().free == 0
    }

    /// How much of members waits.
    pub(super) fn members(&self) -> usize {
        let state = self.state();
        let partners = state.partners.iter().filter(|partner| partner.name.is_some());
        let members = partners.flat_map(|partner| &partner.waiting);
        members.flat_map(|member| &member.waiting).filter(|sender| !sender.is_closed()).count()
    }

    /// Gives the turn to the next one who still waits for it.
    fn pass_on(&self) {
        loop {
            let next = {
                let mut state = self.state();
                let next = state.next();
                state.free += usize::from(next.is_none());
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // They have gone away: the turn is still to be passed on, here and not by dropping it.
                Err(mut turn) => turn.0 = None,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, whose: Whose, sender: oneshot::Sender<Turn>) {
        let members = line(&mut self.partners, whose.partner().cloned());
        line(members, whose).push_back(sender);
    }

    /// The one who comes next, and those behind it in their new order. A caller who has gone away takes no turn from those who wait.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        loop {
            let mut partner = self.partners.pop_front()?;
            while let Some(mut member) = partner.waiting.pop_front() {
                member.waiting.retain(|waiting| !waiting.is_closed());
                let Some(next) = member.waiting.pop_front() else { continue };
                if !member.waiting.is_empty() {
                    partner.waiting.push_back(member);
                }
                if !partner.waiting.is_empty() {
                    self.partners.push_back(partner);
                }
                return Some(next);
            }
        }
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
        turn: Pin<Box<dyn Future<Output = Turn> + 'q>>,
    }

    impl Waiting<'_> {
        fn poll(&mut self) -> Poll<Turn> {
            self.turn.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }
    }

    /// Puts somebody into the queue. What they write begins with their name.
    fn wait<'q>(queue: &'q Queue, what: &'static str) -> Waiting<'q> {
        let name = what.split(' ').next().unwrap();
        let whose = name.parse().map_or(Whose::Exchange, Whose::Member);
        let mut waiting = Waiting { what, turn: Box::pin(queue.take(whose)) };
        assert!(waiting.poll().is_pending(), "the turn is taken");
        waiting
    }

    /// What is written, in its order, once the turn that is taken ends.
    fn order(turn: Turn, mut waiting: Vec<Waiting<'_>>) -> Vec<&'static str> {
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

    fn taken(queue: &Queue) -> Turn {
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
}

//! Who may use the console: the browser that came by an address with a word that is good once.
//!
//! Decides what a word is good for. It must never let a second browser in by the same word: who comes by it later, or came first, may be
//! somebody who saw it, so all of it ends and the keys are forgotten.

use super::secret::Secret;
use crate::domain::ambient::Rng;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many words that were not used are good at the same time.
const WORDS: usize = 8;
/// So many browsers are in at the same time.
const BROWSERS: usize = 8;

/// A browser that is in.
#[derive(Debug, Clone)]
pub(super) struct BrowserSession {
    /// What its cookie holds.
    cookie: Secret,
    /// What each of its forms sends back.
    pub(super) csrf: Secret,
    /// Whether single keys of the keyboard do something in its pages.
    pub(super) has_shortcuts: bool,
}

/// What came of a word.
#[derive(Debug)]
pub(super) enum Entered {
    /// The browser is in, with this in its cookie from now on.
    In(Secret),
    /// There is no such word.
    Unknown,
    /// Another browser came by it before.
    Twice,
}

/// A word in an address.
#[derive(Debug)]
struct Word {
    word: Secret,
    /// The browser that used it, by the cookie that it came with, and the one that it has since: a button that is pressed twice is one act.
    used: Option<(String, Secret)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    words: Vec<Word>,
    browsers: Vec<BrowserSession>,
}

impl Sessions {
    /// A word for another address.
    pub(super) fn new_word(&self, rng: &dyn Rng) -> Secret {
        let mut state = self.state();
        let State { words, browsers } = &mut *state;
        // Words that were used stay known while their browser is in, so that their second use is seen.
        let is_in = |cookie: &Secret| browsers.iter().any(|browser| browser.cookie.is(cookie.expose()));
        words.retain(|word| word.used.as_ref().is_none_or(|(_, cookie)| is_in(cookie)));
        while words.iter().filter(|word| word.used.is_none()).count() >= WORDS {
            let Some(oldest) = words.iter().position(|word| word.used.is_none()) else { break };
            words.remove(oldest);
        }
        let word = Secret::new(rng);
        state.words.push(Word { word: word.clone(), used: None });
        word
    }

    /// Whether there is such a word, used or not.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.state().words.iter().any(|known| known.word.is(word))
    }

    /// Lets a browser in by a word. `visitor` is the cookie with which the page was shown on which the word was sent.
    pub(super) fn enter(&self, word: &str, visitor: &str, rng: &dyn Rng) -> Entered {
        let mut state = self.state();
        let Some(found) = state.words.iter_mut().find(|known| known.word.is(word)) else { return Entered::Unknown };
        match &found.used {
            Some((by, cookie)) if by == visitor && !visitor.is_empty() => return Entered::In(cookie.clone()),
            Some(_) => {
                (state.words, state.browsers) = (Vec::new(), Vec::new());
                return Entered::Twice;
            }
            None => {}
        }
        let session = BrowserSession { cookie: Secret::new(rng), csrf: Secret::new(rng), has_shortcuts: true };
        found.used = Some((visitor.to_owned(), session.cookie.clone()));
        if state.browsers.len() >= BROWSERS {
            state.browsers.remove(0);
        }
        let cookie = session.cookie.clone();
        state.browsers.push(session);
        Entered::In(cookie)
    }

    /// The browser with this cookie, if it is in.
    pub(super) fn find(&self, cookie: &str) -> Option<BrowserSession> {
        self.state().browsers.iter().find(|session| session.cookie.is(cookie)).cloned()
    }

    /// Turns what single keys do on or off for a browser.
    pub(super) fn turn_shortcuts(&self, browser: &BrowserSession, are_on: bool) {
        let mut state = self.state();
        let mut browsers = state.browsers.iter_mut();
        if let Some(found) = browsers.find(|known| known.cookie.is(browser.cookie.expose())) {
            found.has_shortcuts = are_on;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ambient::SystemRng;

    #[test]
    fn word_lets_one_browser_in_however_often_it_presses_the_button() {
        let sessions = Sessions::default();
        let word = sessions.new_word(&SystemRng);
        let Entered::In(cookie) = sessions.enter(word.expose(), "visitor", &SystemRng) else { panic!("it is good") };
        let Entered::In(again) = sessions.enter(word.expose(), "visitor", &SystemRng) else { panic!("pressed twice") };
        assert!(again.is(cookie.expose()) && sessions.find(cookie.expose()).is_some());
        assert!(sessions.find("visitor").is_none(), "the cookie of before lets nobody in");
        assert!(matches!(sessions.enter("another word", "visitor", &SystemRng), Entered::Unknown));
    }

    #[test]
    fn second_browser_by_the_same_word_ends_all() {
        for second in ["another", ""] {
            let sessions = Sessions::default();
            let (word, unused) = (sessions.new_word(&SystemRng), sessions.new_word(&SystemRng));
            let Entered::In(cookie) = sessions.enter(word.expose(), "", &SystemRng) else { panic!("it is good") };
            assert!(matches!(sessions.enter(word.expose(), second, &SystemRng), Entered::Twice));
            assert!(sessions.find(cookie.expose()).is_none());
            assert!(matches!(sessions.enter(unused.expose(), "", &SystemRng), Entered::Unknown));
        }
    }

    #[test]
    fn few_words_are_good_and_used_ones_stay_known() {
        let sessions = Sessions::default();
        let used = sessions.new_word(&SystemRng);
        assert!(matches!(sessions.enter(used.expose(), "v", &SystemRng), Entered::In(_)));
        let first = sessions.new_word(&SystemRng);
        let others: Vec<Secret> = (0..WORDS).map(|_| sessions.new_word(&SystemRng)).collect();
        assert!(!sessions.knows(first.expose()) && others.iter().all(|word| sessions.knows(word.expose())));
        assert!(matches!(sessions.enter(used.expose(), "other", &SystemRng), Entered::Twice));
    }

    #[test]
    fn few_browsers_are_in() {
        let sessions = Sessions::default();
        let cookies: Vec<Secret> = (0..=BROWSERS)
            .map(|_| match sessions.enter(sessions.new_word(&SystemRng).expose(), "v", &SystemRng) {
                Entered::In(cookie) => cookie,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(sessions.find(cookies[0].expose()).is_none(), "the first has to come again");
        assert!(cookies[1..].iter().all(|cookie| sessions.find(cookie.expose()).is_some()));
    }
}

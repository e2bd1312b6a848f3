//! What stands around every page: whose console it is, the way to the other pages, what has to be known, the button that locks.
//!
//! Decides how a page is answered, also one that could not be made: in the same frame, with what went wrong and what to do.

use super::{
    answer::page,
    assets::Assets,
    keys::Unlocked,
    sessions::BrowserSession,
    state::Console,
    who::Who,
    words::{Trouble, trouble},
};
use crate::{
    client::{ClientError, ExitClass, Result},
    domain::{name::visible, text::counted},
};
use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use std::sync::Arc;

/// The pages of the bar, in its order.
pub(super) const SECTIONS: [(Section, &str, &str); 6] = [
    (Section::Home, "/", "Home"),
    (Section::Search, "/search", "Search"),
    (Section::Log, "/log", "Log"),
    (Section::Why, "/why", "Why not"),
    (Section::Trust, "/trust", "Trust"),
    (Section::Me, "/me", "Me"),
];

/// Which of them a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Home,
    Search,
    Log,
    Why,
    Trust,
    Me,
    /// None of the bar.
    Other,
}

/// A browser that is in, while the keys are open. The guard alone makes one.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) console: Console,
    pub(super) session: BrowserSession,
    pub(super) unlocked: Arc<Unlocked>,
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, StatusCode> {
        // A page that the guard let pass without is a mistake of the program.
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// What every page's template is given.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) section: Section,
    pub(super) who: Who,
    pub(super) csrf: String,
    pub(super) assets: Assets,
    pub(super) warnings: Vec<String>,
    /// Whether there is a way to other pages.
    pub(super) is_open: bool,
    /// After so long without another page what is shown goes with the keys.
    pub(super) idle_seconds: i64,
    /// Whether single keys of the keyboard do something.
    pub(super) has_shortcuts: bool,
}

impl Frame {
    /// How long the keys are held without use, in words.
    pub(super) fn idle(&self) -> String {
        let minutes = u64::try_from(self.idle_seconds / 60).unwrap_or_default();
        counted(minutes, "minute", "minutes")
    }

    /// The frame of a page for a browser that is not in: it says nothing of whose console it is.
    pub(super) fn anonymous(console: &Console, title: &str) -> Self {
        Self { who: Who::nobody(), ..Self::closed(console, title, None) }
    }

    /// The frame of a page that is shown while the keys are forgotten, with the form's word if somebody is in.
    pub(super) fn closed(console: &Console, title: &str, session: Option<&BrowserSession>) -> Self {
        Self {
            title: title.to_owned(),
            section: Section::Other,
            who: console.who.clone(),
            csrf: session.map(|session| session.csrf.expose().to_owned()).unwrap_or_default(),
            assets: console.assets.clone(),
            warnings: Vec::new(),
            is_open: false,
            idle_seconds: console.lock.idle().as_secs(),
            has_shortcuts: session.is_none_or(|session| session.has_shortcuts),
        }
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    frame: Frame,
    trouble: Trouble,
}

impl Visit {
    /// The frame of a page.
    pub(super) async fn frame(&self, section: Section, title: &str) -> Frame {
        Frame {
            title: title.to_owned(),
            section,
            who: self.unlocked.who().await,
            csrf: self.session.csrf.expose().to_owned(),
            assets: self.console.assets.clone(),
            warnings: self.unlocked.warnings().iter().map(|sentence| visible(sentence)).collect(),
            is_open: true,
            idle_seconds: self.console.lock.idle().as_secs(),
            has_shortcuts: self.session.has_shortcuts,
        }
    }

    /// A page, or what stood in its way in the same frame.
    pub(super) async fn answer<T: Template>(&self, section: Section, made: Result<T>) -> Response {
        match made {
            Ok(template) => page(StatusCode::OK, &template),
            Err(error) => self.refused(section, &error).await,
        }
    }

    /// What stands in the way of a page or an act.
    pub(super) async fn refused(&self, section: Section, error: &ClientError) -> Response {
        let frame = self.frame(section, "This did not work").await;
        page(status_of(error), &TroublePage { frame, trouble: trouble(error) })
    }

    /// After an act: another page, or what stood in its way.
    pub(super) async fn acted(&self, section: Section, done: Result<Response>) -> Response {
        match done {
            Ok(response) => response,
            Err(error) => self.refused(section, &error).await,
        }
    }
}

/// The status of a page about a failure: what a browser and a test see of it.
fn status_of(error: &ClientError) -> StatusCode {
    let refused = error.problem().and_then(|problem| StatusCode::from_u16(problem.status).ok());
    // A refusal is one, whatever the exchange calls it.
    let refused = refused.filter(|status| status.is_client_error() || status.is_server_error());
    refused.unwrap_or(match error.class() {
        ExitClass::Usage | ExitClass::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        ExitClass::Unverified | ExitClass::Unreachable => StatusCode::BAD_GATEWAY,
        ExitClass::Failure => StatusCode::INTERNAL_SERVER_ERROR,
    })
}

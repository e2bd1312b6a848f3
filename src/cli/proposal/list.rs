//! The list of proposals: which of them, in which order, with their titles.

use super::show;
use crate::{
    cli::{
        context::{Context, ListArgs},
        error::{CliError, Result},
        titles::{TitleArgs, TitleUse},
    },
    client::{
        Client,
        naming::CallName,
        titles::{
            ListExtent,
            rows::{RowOrder, TitleSearch},
        },
    },
    domain::{
        call::Phase,
        id::{PartnerCode, Slug},
        proposal::{Relation, Status},
        text::counted,
    },
    wire::{page::Page, proposal::Filter},
};
use clap::Args;

/// Which proposals.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Of this call only
    #[arg(long)]
    call: Option<CallName>,
    /// Of calls in this phase only, such as `review`
    #[arg(long)]
    phase: Option<Phase>,
    /// On this topic only
    #[arg(long)]
    topic: Option<Slug>,
    /// With a party of this partner only
    #[arg(long, value_name = "PARTNER")]
    party: Option<PartnerCode>,
    /// In this status only, such as `submitted`
    #[arg(long)]
    status: Option<Status>,
    /// Those assigned to you only
    #[arg(long, conflicts_with_all = ["mine", "undeclared"])]
    assigned: bool,
    /// Those you are a party member of, or asked to become one, only
    #[arg(long, conflicts_with = "undeclared")]
    mine: bool,
    /// Those on which you have to declare a conflict of interest, or none, only
    #[arg(long)]
    undeclared: bool,
}

impl FilterArgs {
    /// The filter, once the call that it names is found.
    pub(super) async fn filter(self, client: &Client) -> Result<Filter> {
        let Self { call, phase, topic, party, status, assigned, mine, undeclared } = self;
        let call = match &call {
            Some(name) => Some(client.find_call(name).await?),
            None => None,
        };
        let relations = [(assigned, Relation::Assigned), (mine, Relation::Party), (undeclared, Relation::Undeclared)];
        let mine = relations.into_iter().find_map(|(is_asked, relation)| is_asked.then_some(relation));
        Ok(Filter { call, phase, topic, party, status, mine, ..Filter::default() })
    }
}

/// How a list of proposals is shown.
#[derive(Debug, Args)]
pub struct RowArgs {
    /// created (the oldest first), title, reference or deadline; with `-` in front the other way round
    #[arg(long, value_name = "ORDER", default_value = "created", allow_hyphen_values = true)]
    sort: RowOrder,
    /// Only those with these words in their reference, title or organisations
    #[arg(long, value_name = "TEXT", conflicts_with = "count")]
    search: Option<TitleSearch>,
    #[command(flatten)]
    titles: TitleArgs,
}

impl RowArgs {
    /// Whether the whole list is needed, to be searched or put in order here.
    fn takes_all(&self) -> bool {
        self.search.is_some() || !self.sort.is_of_the_exchange()
    }

    /// What titles are for.
    fn title_use(&self) -> TitleUse {
        match self {
            Self { search: Some(_), .. } => TitleUse::Searched,
            Self { sort, .. } if sort.is_by_title() => TitleUse::Ordered,
            _ => TitleUse::Shown,
        }
    }
}

/// Lists proposals.
pub(super) async fn run(
    filter: Filter,
    shown: RowArgs,
    list: ListArgs,
    context: &Context,
    client: &Client,
) -> Result<()> {
    let takes_all = shown.takes_all();
    if takes_all && !list.is_from_the_start() {
        return Err(CliError::usage("an earlier list can go on in the order of `created` only")
            .help("leave `--cursor` out, or `--sort` and `--search`"));
    }
    let fetched = ListArgs { all: list.all || takes_all, ..list.clone() };
    let sort = shown.sort.at_the_exchange();
    let page = fetched.collect(async |paging| client.api().proposals(&filter, sort, &paging).await).await?;
    let is_whole = list.is_from_the_start() && page.next.is_none();
    if is_whole && filter == Filter::default() {
        client.saw_all(&page.items)?;
    }
    let titles = shown.titles.of(context, client, &page.items, extent(&filter, is_whole), shown.title_use()).await;
    let mut items = titles.joined(page.items, |proposal| proposal.id);
    if let Some(search) = &shown.search {
        items.retain(|row| search.finds(row));
    }
    shown.sort.sort(&mut items);
    let found = items.len();
    // The whole list is here. A number that somebody typed cuts it, but for programs: nothing in JSON would say that it is cut.
    if let Some(most) = list.limit.filter(|_| takes_all && !context.out.is_json()) {
        items.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    }
    let left = found - items.len();
    let page = Page { items, next: page.next };
    show::list(context, &page)?;
    list.note_more(&context.out, &page);
    if left > 0 {
        context.out.note(&format!("{} left out; see all with `--all`", counted(left, "more is", "more are")));
    }
    Ok(())
}

/// Of what such a list has everything.
fn extent(filter: &Filter, is_whole: bool) -> ListExtent {
    let is_of_a_call_alone = Filter { call: None, ..filter.clone() } == Filter::default();
    match filter.call {
        _ if !is_whole || !is_of_a_call_alone => ListExtent::Part,
        Some(call) => ListExtent::Call(call),
        None => ListExtent::Everything,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::proposal::Status;

    #[test]
    fn list_has_all_of_what_it_was_not_narrowed_by() {
        let call = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
        let (all, of_call) = (Filter::default(), Filter { call: Some(call), ..Filter::default() });
        assert_eq!(extent(&all, true), ListExtent::Everything);
        assert_eq!(extent(&of_call, true), ListExtent::Call(call));
        let narrower = Filter { status: Some(Status::Submitted), ..of_call.clone() };
        for (filter, is_whole) in [(&all, false), (&of_call, false), (&narrower, true)] {
            assert_eq!(extent(filter, is_whole), ListExtent::Part);
        }
    }
}

//! A partner's system hands in its part of a proposal: the whole path from an empty proposal to this party's signature, with the library.
//!
//! ```text
//! cargo run --example submit -- BIRD26 ISR:avi,USA:bob summary.json work-plan=plan.pdf budget=budget.csv
//! ```
//!
//! It acts as the member of the default profile (`entente profile add`). Everybody else who is named is invited, and joins and signs by
//! themselves. Everything that the exchange answers is verified before it is used; an error says what to do.

use entente::{
    client::{Ambient, Client, Home, NoProgress, ProgressListener, proposals::NewProposal},
    domain::{id::MemberId, proposal::Parties},
    sealing::identity::NoPrompt,
};
use std::{env, error::Error, fs, path::Path, sync::Arc};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [call, members, summary, documents @ ..] = &words[..] else {
        return Err("usage: submit CALL MEMBER,MEMBER… SUMMARY.json SLOT=FILE…".into());
    };
    let mut parties = Parties::new();
    for member in members.split(',') {
        let member: MemberId = member.parse()?;
        parties.entry(member.partner().clone()).or_default().insert(member);
    }
    let home = Home::locate(None)?;
    let profile = home.profile(None)?;
    let client = Client::new(home, profile, NoPrompt, Ambient::system())?;
    let progress: Arc<dyn ProgressListener> = Arc::new(NoProgress);

    // The vaults are made and wrapped here; the exchange never sees a key.
    let call = client.find_call(&call.parse()?).await?;
    let proposal = client.create_proposal(&NewProposal { call, topic: None, parties }).await?;
    println!("began {}", proposal.reference);
    client.put_summary(proposal.id, &serde_json::from_slice(&fs::read(summary)?)?, progress.clone()).await?;
    for document in documents {
        let (slot, file) = document.split_once('=').ok_or("write a document as SLOT=FILE")?;
        client.put_document(proposal.id, &slot.parse()?, Path::new(file), None, progress.clone()).await?;
        println!("sealed and stored {slot}");
    }
    // What is signed names each document by its digest, this call's text and the parties.
    let signed = client.sign(&client.plan_signature(proposal.id).await?).await?;
    println!("{} is {}", signed.reference, signed.status);
    Ok(())
}

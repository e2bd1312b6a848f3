//! The demonstration from start to end: an exchange of five nations on this machine, with a bilateral and a multilateral call
//! from publication to letters, through the real server and the real client over real mutual TLS.

use super::{
    Args, access, afterwards, cast,
    clock::StoryClock,
    documents::{Documents, own_documents},
    narrator, policies, story,
    world::{DemoPlan, DemoWorld, Error, example_policies},
};
use crate::{
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::PartnerCode,
        text::counted,
    },
    storage::PostgresLimits,
};
use jiff::SignedDuration;
use std::{collections::BTreeMap, fs, io::Write, path::Path, sync::Arc};

/// The sample files, so that the program needs nothing but itself.
const SAMPLES: &[(&str, &[u8])] = &[
    ("work-plan.pdf", include_bytes!("../../examples/documents/work-plan.pdf")),
    ("budget.docx", include_bytes!("../../examples/documents/budget.docx")),
    ("shareholders.pdf", include_bytes!("../../examples/documents/shareholders.pdf")),
];

const DATASET_BYTES: usize = 200 << 20;

/// Plays the demonstration.
pub(super) async fn run(args: &Args) -> Result<(), Error> {
    let temporary =
        args.data.is_none().then(|| tempfile::Builder::new().prefix("entente-demo-").tempdir()).transpose()?;
    let dir = match (&args.data, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => unreachable!("a temporary folder is made when none is named"),
    };
    fs::create_dir_all(&dir)?;
    let dir = dir.canonicalize()?;
    if fs::read_dir(&dir)?.next().is_some() {
        return Err(format!("`{}` is not empty; choose another folder with `--data`", dir.display()).into());
    }
    let present = SystemClock.now();
    let clock = Arc::new(StoryClock::starting_at(present.checked_sub(SignedDuration::from_hours(24 * 110))?));
    let rng = Arc::new(SystemRng);
    narrator::text(
        "Entente demonstration: five nations, two calls, one exchange. Dates are played; everything else is real.",
    );
    let documents = samples(&dir, args.documents.as_deref(), &*rng)?;
    let plan = DemoPlan {
        database_url: format!("sqlite://{}", dir.join("entente.db").display()),
        policies: policies(args.policies.as_deref())?,
        dir: dir.clone(),
        host: "USA",
        nations: cast::NATIONS,
        settings: Vec::new(),
        database_limits: PostgresLimits::default(),
    };
    let world = DemoWorld::start(plan, clock.clone(), rng).await?;
    narrator::text(&format!(
        "An exchange listens on {} (mutual TLS 1.3 only); {} of {} have key cards.",
        world.address(),
        counted(world.clients.len(), "member", "members"),
        counted(world.pki.partners.len(), "partner", "partners")
    ));
    narrator::text(
        "The certificate authorities of Korea and the United Kingdom have the same name; their members are not confused.",
    );
    let progress: Arc<dyn crate::client::ProgressListener> = Arc::new(crate::client::NoProgress);
    let outcomes = story::play(&world, &documents, &|at| clock.jump_to(at), &progress).await?;
    let members = [
        "ISR:avi",
        "ISR:tamar",
        "USA:bob",
        "USA:kate",
        "USA:dana",
        "USA:olivia",
        "ISR:noa",
        "USA:carol",
        "ISR:yael",
        "ISR:maya",
        "USA:frank",
        "KOR:jiwoo",
        "KOR:minjun",
        "GBR:harry",
        "EU:luca",
        "EU:sofia",
    ];
    access::table(&world, &members, &outcomes.proposals).await?;
    if args.policies.is_none() {
        let (name, lodestone) = outcomes.proposals[0];
        policies::change(&world, lodestone, name, "USA:carol").await?;
    }
    clock.join_the_present();
    if args.once {
        narrator::line("\nThe cycle is complete.");
        world.stop().await;
        return Ok(());
    }
    let call = afterwards::open_call(&world, &outcomes).await?;
    afterwards::commands(&world, &outcomes, &call.text.code, &documents).await?;
    tokio::signal::ctrl_c().await?;
    narrator::line("\nStopping.");
    world.stop().await;
    Ok(())
}

/// The policies of each nation: `CODE.cedar` in a folder of one's own, or the examples.
fn policies(own: Option<&Path>) -> Result<BTreeMap<PartnerCode, String>, Error> {
    let Some(own) = own else {
        return Ok(example_policies(cast::NATIONS));
    };
    let mut policies = BTreeMap::new();
    for nation in cast::NATIONS {
        let file = own.join(format!("{}.cedar", nation.code));
        let text = fs::read_to_string(&file).map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
        policies.insert(nation.code.parse()?, text);
    }
    Ok(policies)
}

fn samples(dir: &Path, own: Option<&Path>, rng: &dyn crate::domain::ambient::Rng) -> Result<Documents, Error> {
    let folder = dir.join("documents");
    fs::create_dir_all(&folder)?;
    for (name, bytes) in SAMPLES {
        fs::write(folder.join(name), bytes)?;
    }
    let dataset = folder.join("dataset.bin");
    let mut file = std::io::BufWriter::new(fs::File::create(&dataset)?);
    let mut block = vec![0; 1 << 20];
    for _ in 0..DATASET_BYTES / block.len() {
        rng.fill(&mut block);
        file.write_all(&block)?;
    }
    file.flush()?;
    let samples = Documents {
        work_plan: folder.join("work-plan.pdf"),
        budget: folder.join("budget.docx"),
        shareholders: folder.join("shareholders.pdf"),
        dataset,
    };
    match own {
        Some(own) => own_documents(own, samples),
        None => Ok(samples),
    }
}

//! `millrace prune`: orphans go from the artifact store.

use std::fmt::Write as _;

use control::{Amount, Pruned};
use server::PruneBody;

use crate::Verdict;
use crate::args::PruneArgs;
use crate::client::Client;
use crate::render::Output;

pub(crate) async fn run(args: PruneArgs, output: &Output) -> anyhow::Result<Verdict> {
    let client = Client::new(&args.place)?;
    let body = PruneBody {
        dry_run: args.dry_run,
        grace_seconds: args.grace.map(|grace| grace.as_secs()),
        give_up: args.give_up,
    };
    let pruned: Pruned = client.post("/api/v1/prune", &body).await?;
    if output.json {
        output.print_json(&pruned)?;
    } else {
        output.print(&text(&pruned, args.dry_run))?;
    }
    Ok(Verdict::Well)
}

fn text(pruned: &Pruned, dry_run: bool) -> String {
    let mut text = String::new();
    if dry_run {
        for orphan in &pruned.first {
            let size = bytes(orphan.size);
            let _infallible = writeln!(text, "  {}  {size:>9}", orphan.sha256);
        }
        let unnamed = pruned.removed.files - pruned.first.len() as u64;
        if unnamed > 0 {
            let _infallible = writeln!(text, "  and {unnamed} more");
        }
    }
    let end = match dry_run {
        true => "would be removed",
        false => "removed",
    };
    let _infallible = writeln!(text, "{} {end}", amount(&pruned.removed));
    let _infallible = writeln!(text, "{} needed", amount(&pruned.named));
    if pruned.young.files > 0 {
        let young = amount(&pruned.young);
        let _infallible = writeln!(text, "{young} not needed, and younger than the grace");
    }
    text
}

fn amount(amount: &Amount) -> String {
    let bytes = bytes(amount.bytes);
    match amount.files {
        0 => "no file".to_owned(),
        1 => format!("1 file ({bytes})"),
        n => format!("{n} files ({bytes})"),
    }
}

/// With three digits at most before the point, in powers of 1000 as disks are sold.
fn bytes(bytes: u64) -> String {
    let (mut size, mut unit) = (bytes as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if size < 999.95 {
            break;
        }
        (size, unit) = (size / 1000.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{size:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_read_them() {
        for (n, expect) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_951, "1.0 MB"),
            (2_500_000_000, "2.5 GB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(bytes(n), expect);
        }
    }
}

//! `millrace plan --cost`: what a plan would cost on AWS.

use control::{DryRun, DryRunWork};
use cost::{
    AS_OF, Assumptions, Estimate, Item, Line, Measured, REGION, Shape, Work, idle_month,
    mass_rebuild, money, of_request, thousands,
};
use serde::Serialize;

use crate::args::{CostArgs, Machine};

/// All that is said of costs, in US dollars.
#[derive(Debug, Serialize)]
pub(crate) struct Costs {
    /// Of the price list.
    region: &'static str,
    /// The day of which the prices are believed to be.
    prices_of: &'static str,
    assumed: Assumptions,
    requests: Vec<RequestCost>,
    plan: Estimate,
    /// Of the example `minimal`.
    idle_month: Vec<Line>,
    mass_rebuild: Estimate,
}

#[derive(Debug, Serialize)]
struct RequestCost {
    path: String,
    #[serde(flatten)]
    cost: Estimate,
}

impl Costs {
    pub(crate) fn of(run: &DryRun, args: &CostArgs) -> Self {
        let (measured, assumed) = (Measured::counted(), assumptions(args));
        let requests = run.requests.iter().map(|request| RequestCost {
            path: request.path.to_string(),
            cost: of_request(work(request.work), &measured, &assumed),
        });
        let requests: Vec<_> = requests.collect();
        let mut plan = Estimate::default();
        requests.iter().for_each(|request| plan.add(&request.cost));
        Self {
            region: REGION,
            prices_of: AS_OF,
            assumed,
            requests,
            plan,
            idle_month: idle_month(&Shape::minimal(), &measured, &assumed),
            mass_rebuild: mass_rebuild(&measured, &assumed),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut lines = vec![
            String::new(),
            format!(
                "cost on AWS, {}, by list prices of about {} that nobody has checked",
                self.region, self.prices_of
            ),
        ];
        let requests = self.requests.iter();
        lines.extend(requests.map(|request| format!("  {}: {}", request.path, of(&request.cost))));
        if self.requests.len() != 1 {
            lines.push(format!("  this plan: {}", of(&self.plan)));
        }
        lines.extend(self.each());
        lines.push(self.idle());
        let mass = of(&self.mass_rebuild);
        lines.push(format!("  a mass rebuild: {mass}"));
        lines.push(self.assumptions());
        lines.join("\n") + "\n"
    }

    fn each(&self) -> Option<String> {
        let each = |parts: u64| money(self.plan.dollars() / parts as f64);
        let (tasks, builds) = (self.plan.tasks, self.plan.builds);
        let build = match builds {
            0 => String::new(),
            _ => format!("; for each build {}, all included", each(builds)),
        };
        (tasks > 0).then(|| format!("  for each task {}{build}", each(tasks)))
    }

    fn idle(&self) -> String {
        let sum: f64 = self.idle_month.iter().map(|line| line.dollars).sum();
        let parts = self.idle_month.iter();
        let parts = parts.map(|line| format!("{} {}", line.what, money(line.dollars)));
        format!(
            "  an idle month of the example minimal: {} ({})",
            money(sum),
            parts.collect::<Vec<_>>().join("; ")
        )
    }

    /// What is in the numbers and was counted by nobody.
    fn assumptions(&self) -> String {
        let it = &self.assumed;
        let machine = it.machine.price();
        format!(
            "  assumed: {} min for a build (--build-minutes), {} min for any other task (--other-minutes),\n  \
             {} MiB kept of a build (--build-mib), {} at {} (--machine), each with {} task at a time\n  \
             and {} of them in a mass rebuild, a heartbeat each {} s,\n  \
             {} ms for the start of a function and {} ms for each of its requests",
            it.build_minutes,
            it.other_minutes,
            it.build_mib,
            machine.unit,
            money(machine.dollars),
            it.tasks_per_machine,
            it.machines,
            it.heartbeat_seconds,
            it.start_millis,
            it.request_millis,
        )
    }
}

/// One line.
fn of(cost: &Estimate) -> String {
    let builds = match cost.builds {
        0 => String::new(),
        builds => format!(" ({} builds)", thousands(builds)),
    };
    format!(
        "{} = control plane {} + machines {} + store {} a month, for {} tasks{builds}: {} requests, and {} by the clock",
        money(cost.dollars()),
        money(cost.control_plane),
        money(cost.machines),
        money(cost.storage_a_month),
        thousands(cost.tasks),
        thousands(cost.requests.round() as u64),
        thousands(cost.requests_by_the_minute.round() as u64),
    )
}

fn assumptions(args: &CostArgs) -> Assumptions {
    Assumptions {
        build_minutes: args.build_minutes,
        other_minutes: args.other_minutes,
        build_mib: args.build_mib,
        machine: match args.machine {
            Machine::ArmSpot => Item::ArmSpotHour,
            Machine::Arm => Item::ArmHour,
            Machine::IntelSpot => Item::IntelSpotHour,
            Machine::Intel => Item::IntelHour,
        },
        ..Assumptions::default()
    }
}

fn work(work: DryRunWork) -> Work {
    Work {
        builds: work.builds as u64,
        around: (work.sources + work.tests) as u64,
        release: work.releasing as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, work: DryRunWork) -> control::DryRunRequest {
        let request = serde_json::json!({
            "path": path, "change": "added", "problems": [], "notes": [], "tasks": [], "work": work,
        });
        serde_json::from_value(request).expect("as the control plane answers")
    }

    fn costs(requests: Vec<control::DryRunRequest>, build_minutes: f64) -> Costs {
        let run = serde_json::json!({
            "from": "", "to": "", "problems": [], "notes": [], "requests": requests,
        });
        let run: DryRun = serde_json::from_value(run).expect("as the control plane answers");
        let args = CostArgs {
            build_minutes,
            other_minutes: 1.0,
            build_mib: 20.0,
            machine: Machine::Intel,
        };
        Costs::of(&run, &args)
    }

    fn build() -> control::DryRunRequest {
        let work = DryRunWork {
            sources: 1,
            builds: 2,
            tests: 2,
            releasing: 0,
        };
        request("builds/2026/11/app.yaml", work)
    }

    fn release() -> control::DryRunRequest {
        let work = DryRunWork {
            releasing: 4,
            ..DryRunWork::default()
        };
        request("releases/2026/11/app.yaml", work)
    }

    #[test]
    fn a_plan_is_its_requests() {
        let both = costs(vec![build(), release()], 10.0);
        assert_eq!((both.plan.tasks, both.plan.builds), (9, 2));
        let sum: f64 = both.requests.iter().map(|it| it.cost.dollars()).sum();
        assert!((both.plan.dollars() - sum).abs() < 1e-12 && sum > 0.0);
        let longer = costs(vec![build()], 20.0);
        assert!(longer.plan.machines > both.plan.machines);
    }

    #[test]
    fn nothing_to_do_costs_nothing_and_an_idle_month_does() {
        let nothing = costs(
            vec![request("builds/2026/11/app.yaml", DryRunWork::default())],
            10.0,
        );
        assert_eq!(nothing.plan, Estimate::default());
        let text = nothing.text();
        assert!(text.contains("app.yaml: $0 = control plane $0"), "{text}");
        assert!(!text.contains("for each task"), "{text}");
        assert!(
            text.contains("an idle month of the example minimal: $"),
            "{text}"
        );
    }

    #[test]
    fn what_is_assumed_is_said() {
        let text = costs(vec![build(), release()], 12.5).text();
        for expect in [
            AS_OF,
            "that nobody has checked",
            "builds/2026/11/app.yaml: $",
            "for 5 tasks (2 builds)",
            "releases/2026/11/app.yaml: $",
            "for 4 tasks:",
            "this plan: $",
            "for each build $",
            "a mass rebuild: $",
            "(50,000 builds)",
            "12.5 min for a build",
            "c7i.xlarge hours on demand at $0.18",
        ] {
            assert!(text.contains(expect), "{expect}: {text}");
        }
    }
}

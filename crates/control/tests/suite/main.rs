//! The control plane over ports in memory, with runners that do as a script says.

mod approved;
mod branches;
mod budgets;
mod builds;
mod collect;
mod commands;
mod crashes;
mod dead;
mod dry;
mod fair;
mod faults;
mod fixture;
mod leases;
mod orphans;
mod planning;
mod plans;
mod pulls;
mod recover;
mod releases;
mod results;
mod review;
mod runners;
mod scratch;
mod told;
mod walls;
mod world;

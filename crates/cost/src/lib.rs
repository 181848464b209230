//! What an installation on AWS costs: requests that were counted, times prices that somebody wrote down.
//!
//! | step | is |
//! |---|---|
//! | [`Call`] | a call of a port with its sizes, and the requests that the adapter of AWS makes of it |
//! | [`Usage`] | requests and units, added up by the function that made them |
//! | [`Measured`] | the usage of a few jobs, as the simulator plays them: `measured.json` |
//! | [`Amounts`] | how much of each priced [`Item`] that is, with what was assumed |
//! | [`Estimate`] | dollars for a plan, an idle month, a mass rebuild |
//!
//! Callers: `simulator` counts with it, its tests write the page `docs/explanation/cost.md`, and a test of `platform-aws` holds the table of
//! [`Call`] against requests of the real adapter. Invariants: pure; nothing is estimated that can be counted; what is
//! assumed is in [`Assumptions`] and is printed with every answer.

mod amounts;
mod call;
mod estimate;
mod fixed;
mod measured;
mod page;
mod prices;
mod usage;

pub use amounts::{Amounts, Assumptions};
pub use call::{Call, Row, item_units};
pub use estimate::{Estimate, Line, MASS_BUILDS, Work, idle_month, mass_rebuild, of_request};
pub use fixed::{Fleet, Shape};
pub use measured::{Job, Measured};
pub use page::{money, tables, thousands};
pub use prices::{AS_OF, Item, PRICES, Price, REGION};
pub use usage::{Action, Actor, Service, Started, Usage};

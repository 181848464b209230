//! The suite of [`Clock`].

use crate::Clock;

/// 2020-01-01 and 3000-01-01: a clock that counts seconds or microseconds is outside.
const PLAUSIBLE: std::ops::Range<i64> = 1_577_836_800_000..32_503_680_000_000;

/// *Milliseconds since 1970, and never back while nobody sets the clock.*
pub async fn clock<C: Clock>(make: impl AsyncFn() -> C) {
    let clock = make().await;
    let mut last = clock.now();
    assert!(
        PLAUSIBLE.contains(&last),
        "the clock says {last}, which is no count of milliseconds since 1970"
    );
    for _ in 0..1_000 {
        let now = clock.now();
        assert!(now >= last, "the clock went back from {last} to {now}");
        last = now;
    }
}

//! Versions of packages: an order is an order, whatever strangers call theirs.
//!
//! The input has three versions.
#![no_main]

use std::cmp::Ordering;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use pipeline_spec::version::{DebVersion, Evr, Nevra};

fn check<T: FromStr + Ord + ToString>(texts: [&str; 3]) {
    let [Ok(a), Ok(b), Ok(c)] = texts.map(T::from_str) else {
        return;
    };
    assert_eq!(a.cmp(&a), Ordering::Equal);
    assert_eq!(a.cmp(&b), b.cmp(&a).reverse(), "{texts:?}");
    if a <= b && b <= c {
        assert!(a <= c, "{texts:?}");
    }
    let again = T::from_str(&a.to_string()).ok();
    assert!(again.is_some_and(|again| again == a), "{texts:?}");
}

fuzz_target!(|data: &[u8]| {
    let texts = fuzz::parts::<3>(data).map(String::from_utf8_lossy);
    let texts = texts.each_ref().map(AsRef::as_ref);
    check::<DebVersion>(texts);
    check::<Evr>(texts);
    let _nevra = texts.map(|text| text.parse::<Nevra>().ok());
});

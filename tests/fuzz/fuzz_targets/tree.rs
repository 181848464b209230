//! Documents of published repositories: trees, pointers, publications, contents.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runner_api::{Placed, Pointer, Publication, Tree};

fuzz_target!(|data: &[u8]| {
    fuzz::json_round_trip::<Tree>(data);
    fuzz::json_round_trip::<Pointer>(data);
    fuzz::json_round_trip::<Vec<Placed>>(data);
    fuzz::json_round_trip::<Publication>(data);
    if let Ok(publication) = serde_json::from_slice::<Publication>(data) {
        let (digest, document) = publication.document();
        let again: Publication = serde_json::from_slice(&document).expect("it can be read again");
        assert_eq!(again.document().0, digest);
        for name in publication.repositories.keys() {
            let _pointer = publication.pointer(name, digest);
        }
    }
});

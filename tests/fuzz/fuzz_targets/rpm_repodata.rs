//! A published RPM repository of a stranger's: its `repomd.xml`, properly signed, and the file that all
//! its paths lead to.
#![no_main]

use std::io::{self, Cursor};

use libfuzzer_sys::fuzz_target;
use repo_rpm::verify::verify;

fuzz_target!(|data: &[u8]| {
    let [repomd, file] = fuzz::parts::<2>(data);
    let key = fuzz::key();
    let signature = key
        .sign_detached_armored(repomd, fuzz::NOW)
        .expect("bytes can be signed");
    let (repomd, file) = (repomd.to_vec(), file.to_vec());
    let files = move |path: &str| -> io::Result<Cursor<Vec<u8>>> {
        Ok(Cursor::new(match path {
            "repodata/repomd.xml" => repomd.clone(),
            "repodata/repomd.xml.asc" => signature.clone().into(),
            _ => file.clone(),
        }))
    };
    let report = verify(&files, &[key.public().clone()]);
    let _text: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
});

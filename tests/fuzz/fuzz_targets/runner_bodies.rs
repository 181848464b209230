//! Every JSON body between runners and control plane, either way: read, written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runner_api::protocol::{ErrorBody, TakeRequest};
use runner_api::{
    Grant, Heartbeat, HeartbeatReply, ResultManifest, ResultReply, TakeReply, TaskId, TaskSpec,
};

fuzz_target!(|data: &[u8]| {
    fuzz::json_round_trip::<ResultManifest>(data);
    fuzz::json_round_trip::<ResultReply>(data);
    fuzz::json_round_trip::<Heartbeat>(data);
    fuzz::json_round_trip::<HeartbeatReply>(data);
    fuzz::json_round_trip::<TakeRequest>(data);
    fuzz::json_round_trip::<TakeReply>(data);
    fuzz::json_round_trip::<ErrorBody>(data);
    fuzz::json_round_trip::<Grant>(data);
    if let Ok(spec) = serde_json::from_slice::<TaskSpec>(data) {
        let (_title, _role, _arch, _inputs) =
            (spec.title(), spec.role(), spec.arch(), spec.inputs());
        let request = "builds/2026/11/a.yaml".parse().expect("a path");
        let written = serde_json::to_vec(&spec).expect("what was read can be written");
        let again: TaskSpec = serde_json::from_slice(&written).expect("it can be read again");
        // The same wish is the same task, however it was written.
        assert_eq!(TaskId::of(&request, &spec), TaskId::of(&request, &again));
    }
});

//! Rows about the forge: what another version wrote is read, and what uses nothing new is written as before.

use ledger::{Budget, Ceiling, Row, WatchRow};

#[test]
fn a_watch_of_before_there_was_a_pace_is_read_and_written_the_same() {
    let json = r#"{"row":"watch","commit":"1111111111111111111111111111111111111111","from":"","digest":"d","looked":5}"#;
    let row: Row = serde_json::from_str(json).expect("a row");
    let Row::Watch(watch) = &row else {
        panic!("{row:?}");
    };
    assert_eq!((watch.told, watch.failed), (0, 0));
    assert_eq!(serde_json::to_string(&row).expect("JSON"), json);
    // A process of before leaves the rest out.
    let new = WatchRow {
        told: 7,
        failed: 1,
        ..watch.clone()
    };
    let new = serde_json::to_string(&Row::Watch(new)).expect("JSON");
    assert!(new.ends_with(r#""looked":5,"told":7,"failed":1}"#), "{new}");
}

#[test]
fn a_budget_is_a_list_of_times() {
    let mut budget = Budget::default();
    for now in [3, 5] {
        budget
            .take(now, 1, &[Ceiling::a_minute(6)])
            .expect("there is room");
    }
    let row = Row::Budget(budget);
    let json = r#"{"row":"budget","made":[3,5]}"#;
    assert_eq!(serde_json::to_string(&row).expect("JSON"), json);
    assert_eq!(serde_json::from_str::<Row>(json).expect("a row"), row);
}

#[test]
fn who_writes_and_what_was_planned_before_is_written_as_it_was() {
    let json = r#"{"row":"planned","from":"1111111111111111111111111111111111111111","at":5}"#;
    let row: Row = serde_json::from_str(json).expect("a row");
    assert_eq!(serde_json::to_string(&row).expect("JSON"), json);
    for json in [
        r#"{"row":"watch","commit":"c","from":"","digest":"d","looked":5,"writing":9}"#,
        r#"{"row":"pull","number":7,"head":"a","base":"b","digest":"","writing":9}"#,
    ] {
        let row: Row = serde_json::from_str(json).expect("a row");
        assert_eq!(serde_json::to_string(&row).expect("JSON"), json);
    }
}

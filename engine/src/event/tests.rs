use super::*;
use crate::node::Point;
use serde_json::{Value, json};

fn score() -> NodeName {
    NodeName::new("score", Point(vec![("model".into(), json!("tiny")), ("fold".into(), json!(3))]))
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

#[test]
fn a_node_that_ran_gives_the_documented_json_line() {
    let outputs = vec![("scores".to_owned(), OutputDigest(digest(2)))];
    let event = Event::NodeRan { node: score(), key: ActionKey(digest(1)), outputs, elapsed_ms: 12 };
    let expected = format!(
        r#"{{"reason":"node","stage":"score","point":{{"model":"tiny","fold":3}},"status":"ran","key":"{}","output":"{}","elapsed_ms":12}}"#,
        "01".repeat(32),
        "02".repeat(32)
    );
    assert_eq!(event.json_line(), Some(expected));
}

#[test]
fn key_and_output_are_null_where_there_is_none() {
    let line = Event::NodeBlocked { node: score(), by: "train".into() }.json_line().expect("it ends a node");
    let line: Value = serde_json::from_str(&line).expect("a line is JSON");
    assert_eq!((&line["status"], &line["key"], &line["output"]), (&json!("blocked"), &Value::Null, &Value::Null));
}

#[test]
fn a_node_that_did_not_end_well_says_why() {
    let log = Some(PathBuf::from("runs/1/logs/score.log"));
    let failed = Event::NodeFailed { node: score(), key: None, cause: "exit code 1\nboom".into(), log, elapsed_ms: 5 };
    let blocked = Event::NodeBlocked { node: score(), by: "train[model=tiny]".into() };
    let value = |event: Event| -> Value {
        serde_json::from_str(&event.json_line().expect("it ends a node")).expect("a line is JSON")
    };
    let (failed, blocked) = (value(failed), value(blocked));
    assert_eq!((&failed["cause"], &failed["log"]), (&json!("exit code 1\nboom"), &json!("runs/1/logs/score.log")));
    assert_eq!((&blocked["by"], blocked.get("cause")), (&json!("train[model=tiny]"), None));
    let warning = Event::Warning { message: "the disk is nearly full".into() };
    assert_eq!(value(warning), json!({"reason": "warning", "message": "the disk is nearly full"}));
}

#[test]
fn several_outputs_are_told_apart_by_name() {
    let outputs = [("images".to_owned(), OutputDigest(digest(1))), ("masks".to_owned(), OutputDigest(digest(2)))];
    let expected = json!({"images": "01".repeat(32), "masks": "02".repeat(32)});
    assert_eq!(output_json(&outputs), expected);
}

#[test]
fn summary_counts_nodes_by_how_they_ended() {
    let counts = Counts { nodes: 5, hit: 1, ran: 1, failed: 1, blocked: 1, cancelled: 1 };
    let line = Event::RunFinished { counts, elapsed_ms: 7, made: Default::default(), remote: None }.json_line();
    let expected =
        r#"{"reason":"summary","nodes":5,"hit":1,"ran":1,"failed":1,"blocked":1,"cancelled":1,"elapsed_ms":7}"#;
    assert_eq!(line.as_deref(), Some(expected));
}

#[test]
fn events_survive_json() {
    let events = [
        Event::NodeHit { node: score(), key: ActionKey(digest(1)), outputs: vec![] },
        Event::NodeProgress { node: score(), progress: Progress { done: 1, total: 2, message: "loss 0.4".to_owned() } },
        Event::NodeCancelled { node: score() },
        Event::RunFinished { counts: Counts::default(), elapsed_ms: 3, made: Default::default(), remote: None },
    ];
    for event in events {
        let record = TimedEvent { at_ms: 17, event };
        let json = serde_json::to_string(&record).expect("a record is plain data");
        assert_eq!(serde_json::from_str::<TimedEvent>(&json).expect("it was just written"), record);
    }
}

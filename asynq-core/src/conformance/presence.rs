//! Which servers are shown, and for how long.

#![allow(missing_docs, reason = "the names are sentences")]

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::broker::{ServerId, ServerInfo, WorkerInfo};
use crate::clock::Timestamp;

use super::Subject;
use super::kit::*;

fn server(name: &str) -> ServerInfo {
    ServerInfo {
        id: ServerId {
            host: "host.example".into(),
            pid: 4242,
            id: name.into(),
        },
        concurrency: 10,
        queues: BTreeMap::from([(queue("critical"), 6), (queue("default"), 3)]),
        strict_priority: true,
        status: "active".into(),
        started_at: Timestamp::from_unix_seconds(1_699_999_000),
        active_workers: 1,
    }
}

fn worker(server: &ServerInfo, task: &str) -> WorkerInfo {
    WorkerInfo {
        server: server.id.clone(),
        task_id: id(task),
        task_type: "email:welcome".into(),
        payload: Bytes::from_static(b"\x00\xff payload"),
        queue: queue("critical"),
        started_at: Timestamp::from_unix_seconds(1_699_999_990),
        deadline: Timestamp::from_unix_seconds(1_700_001_790),
    }
}

async fn announce(subject: &Subject, server: &ServerInfo, workers: &[WorkerInfo]) {
    subject.broker.announce(server, workers, secs(10)).await.unwrap();
}

pub async fn without_servers_none_is_shown(subject: &Subject) {
    assert!(subject.broker.servers().await.unwrap().is_empty());
}

pub async fn a_server_is_shown_with_its_workers(subject: &Subject) {
    let server = server("s1");
    let workers = [worker(&server, "a")];

    announce(subject, &server, &workers).await;

    let shown = subject.broker.servers().await.unwrap();
    assert_eq!(shown, [(server, workers.to_vec())]);
}

pub async fn what_was_announced_last_is_shown(subject: &Subject) {
    let mut server = server("s1");
    announce(subject, &server, &[worker(&server, "a"), worker(&server, "b")]).await;
    server.status = "stopped".into();

    announce(subject, &server, &[worker(&server, "c")]).await;

    let shown = subject.broker.servers().await.unwrap();
    assert_eq!(shown, [(server.clone(), vec![worker(&server, "c")])]);
}

pub async fn a_server_without_workers_is_shown(subject: &Subject) {
    let server = server("s1");
    announce(subject, &server, &[worker(&server, "a")]).await;

    announce(subject, &server, &[]).await;

    assert_eq!(subject.broker.servers().await.unwrap(), [(server, vec![])]);
}

pub async fn a_withdrawn_server_is_not_shown(subject: &Subject) {
    let (gone, stays) = (server("s1"), server("s2"));
    announce(subject, &gone, &[worker(&gone, "a")]).await;
    announce(subject, &stays, &[worker(&stays, "b")]).await;

    subject.broker.withdraw(&gone.id).await.unwrap();

    let shown = subject.broker.servers().await.unwrap();
    assert_eq!(shown, [(stays.clone(), vec![worker(&stays, "b")])]);
}

pub async fn withdrawing_a_server_that_is_not_shown_is_no_error(subject: &Subject) {
    subject.broker.withdraw(&server("s1").id).await.unwrap();
}

pub async fn a_server_that_is_not_announced_again_is_not_shown_for_long(subject: &Subject) {
    announce(subject, &server("s1"), &[]).await;
    subject.advance(secs(8));
    announce(subject, &server("s2"), &[]).await;

    subject.advance(secs(4));

    let shown = subject.broker.servers().await.unwrap();
    assert_eq!(shown, [(server("s2"), vec![])]);
}

pub async fn an_announced_server_stays_as_long_as_it_is_announced(subject: &Subject) {
    for _ in 0..3 {
        announce(subject, &server("s1"), &[]).await;
        subject.advance(secs(8));
        assert_eq!(subject.broker.servers().await.unwrap().len(), 1);
    }
}

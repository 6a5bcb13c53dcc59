use super::*;
use crate::mail::{FilterInfo, OnError, Outcome, Uses};
use async_trait::async_trait;
use std::sync::Mutex;
use tokio::task::JoinSet;

/// Notes each time that it is asked.
#[derive(Clone)]
struct Noting {
    info: FilterInfo,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Noting {
    fn filter(name: &str, asked: &Arc<Mutex<Vec<String>>>) -> Arc<dyn Filter> {
        let info = FilterInfo {
            name: name.to_owned(),
            version: "1".to_owned(),
            hooks: [Hook::Mail].into_iter().collect(),
            uses: Uses::default(),
            on_error: OnError::Skip,
        };
        let asked = Arc::clone(asked);
        Arc::new(Self { info, asked })
    }
}

#[async_trait]
impl FilterRun for Noting {
    async fn call(&mut self, _: &Call, _: View) -> Outcome {
        self.asked.lock().unwrap().push(self.info.name.clone());
        Outcome::new(Ok(Verdict::Continue))
    }
}

impl Filter for Noting {
    fn info(&self) -> &FilterInfo {
        &self.info
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(self.clone())
    }
}

#[tokio::test]
async fn messages_on_one_thread_go_from_filter_to_filter_together() {
    let asked = Arc::default();
    let chain = Chain {
        generation: 1,
        filters: ["first", "second"]
            .map(|name| Noting::filter(name, &asked))
            .into(),
    };
    let mut messages = JoinSet::new();
    for _ in 0..3 {
        let mut run = Run::new(chain.clone(), Arc::default(), None);
        messages.spawn(async move { run.mail(&mut Arc::default()).await });
    }
    assert_eq!(messages.join_all().await, vec![Verdict::Continue; 3]);
    let expected = ["first", "first", "first", "second", "second", "second"];
    assert_eq!(*asked.lock().unwrap(), expected);
}

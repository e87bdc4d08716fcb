//! Visitors of an app: requests that name its host and go to a router.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

/// What a visitor got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 when there was no answer at all.
    pub status: u16,
    /// The body, or why there was no answer.
    pub body: String,
}

/// Asks the router at `router` for a path of `host`, on a connection of its own.
pub async fn get(router: &str, host: &str, path: &str) -> Answer {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .pool_max_idle_per_host(0)
        .build();
    ask(&client.expect("a client can be made"), router, host, path).await
}

async fn ask(client: &reqwest::Client, router: &str, host: &str, path: &str) -> Answer {
    let request = client.get(format!("http://{router}{path}")).header("host", host);
    let failed = |error: reqwest::Error| Answer {
        status: 0,
        body: format!("{error:?}"),
    };
    match request.send().await {
        Ok(answer) => {
            let status = answer.status().as_u16();
            answer.text().await.map_or_else(failed, |body| Answer { status, body })
        }
        Err(error) => failed(error),
    }
}

/// Somebody who asks again and again, and notes every answer that is not a 200.
#[derive(Debug)]
pub struct Visitor {
    done: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    failures: Arc<Mutex<Vec<Answer>>>,
    task: JoinHandle<()>,
}

impl Visitor {
    /// Begins to ask, fifty times a second.
    pub fn start(router: String, host: String, path: String) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicU32::new(0));
        let failures = Arc::new(Mutex::new(Vec::new()));
        let notes = (done.clone(), served.clone(), failures.clone());
        let task = tokio::spawn(async move {
            let (done, served, failures) = notes;
            let client = reqwest::Client::builder()
                .timeout(Duration::from_secs(10))
                .build()
                .unwrap();
            while !done.load(Ordering::Relaxed) {
                let answer = ask(&client, &router, &host, &path).await;
                if answer.status == 200 {
                    served.fetch_add(1, Ordering::Relaxed);
                } else {
                    failures.lock().unwrap().push(answer);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self {
            done,
            served,
            failures,
            task,
        }
    }

    /// How many requests were served so far.
    pub fn served(&self) -> u32 {
        self.served.load(Ordering::Relaxed)
    }

    /// Ends, and fails the test when any request was not served.
    ///
    /// # Panics
    /// When a request failed, or there was none.
    pub async fn must_have_been_served(self) {
        self.done.store(true, Ordering::Relaxed);
        self.task.await.expect("the visitor does not panic");
        let failures = self.failures.lock().unwrap();
        let served = self.served.load(Ordering::Relaxed);
        assert!(
            failures.is_empty() && served > 0,
            "{served} served, these were not: {failures:#?}"
        );
    }
}

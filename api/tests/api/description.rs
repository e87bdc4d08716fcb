use std::collections::BTreeSet;

use serde_json::Value;
use windlass_api::openapi;

use crate::support::with_api;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/openapi.json");

#[test]
fn the_description_in_the_book_is_that_of_the_code() {
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed.trim_end() == openapi().to_pretty_json().unwrap().trim_end(),
        "the API changed: cargo run -p windlass-api --example openapi > docs/reference/openapi.json"
    );
}

#[test]
fn every_operation_has_a_name_of_its_own_and_every_answer_a_description() {
    let description: Value = serde_json::to_value(openapi()).unwrap();
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["info"]["license"]["name"], "MIT OR Apache-2.0");
    assert_eq!(
        description["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    let mut names = BTreeSet::new();
    for item in description["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} stands twice");
            assert!(operation["summary"].is_string(), "{name} has no summary");
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let said =
                    answer["$ref"].is_string() || answer["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(said, "{name} {status} has no description");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_field_says_what_it_is() {
    let description: Value = serde_json::to_value(openapi()).unwrap();
    let text = description.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(description.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
    for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
        let generic = name.contains('_');
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            let text = schema.to_string();
            assert!(text.contains("\"description\""), "{name}.{field} has no description");
            let shown = text.contains("\"example\"") || text.contains("$ref") || text.contains("\"items\"");
            assert!(
                generic || shown || text.contains("\"enum\""),
                "{name}.{field} has no example"
            );
        }
    }
}

#[tokio::test]
async fn the_page_to_browse_it_needs_no_internet() {
    with_api(|api| async move {
        let served = api.get("/api/v1/openapi.json").await.must_be(200);
        assert_eq!(served, serde_json::to_value(openapi()).unwrap());
        assert_eq!(api.get("/docs").await.status, 303);
        let page = api.get("/docs/").await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-security-policy").contains("script-src 'self'"));
        let scripts: Vec<&str> = page
            .text
            .split("src=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        let styles = page
            .text
            .split("href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap());
        assert!(!page.text.contains("://"), "{}", page.text);
        assert!(scripts.len() >= 3, "{scripts:?}");
        for file in scripts.into_iter().chain(styles) {
            let path = format!("/docs/{}", file.trim_start_matches("./"));
            assert_eq!(api.get(&path).await.status, 200, "{path}");
        }
        let start = api.get("/docs/swagger-initializer.js").await;
        assert!(start.text.contains("/api/v1/openapi.json"), "{}", start.text);
        assert!(!start.text.contains("://"), "{}", start.text);
        api.get("/docs/nothing.js").await.problem(404);
    })
    .await;
}

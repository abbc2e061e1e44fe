//! The status page in a real browser: what a person sees, on a desk and on a phone, by day and by night.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use opgraph_simulator::{Config, Faults, Rates, Simulator};
use serde_json::json;

use super::{Shown, webdriver::Browser};
use crate::support::program::Place;

/// A past so short that it is not read in windows, each of which costs a request.
const HISTORY: Duration = Duration::from_secs(40 * 3600);

/// Where pictures are kept, for people to look at.
fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page").join(format!("{name}.png"))
}

/// A run of two tenants: one that works, and one whose token is refused.
async fn shown(simulator: &Simulator, place: &Place) -> Shown {
    place.write_token("wrong", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.c2lnbmVkLWJ5LW5vYm9keQ");
    place.write_token("connect", &simulator.connect_token());
    let url = simulator.events_url();
    let text = format!(
        "state_dir = \"state\"\n\
         [[tenant]]\nname = \"acme\"\ndescription = \"production\"\npolling_interval = \"1s\"\nstart = \"47h\"\n\
         [tenant.events]\nbase_url = \"{url}\"\ntoken = {{ file = \"events\" }}\n\
         [tenant.connect]\nbase_url = \"{connect}\"\ntoken = {{ file = \"connect\" }}\ninterval = \"10s\"\n\
         [tenant.jupiterone]\nbase_url = \"{jupiterone}\"\naccount = \"{account}\"\n\
         token = {{ file = \"jupiterone\" }}\nintegration_instance_id = \"{instance}\"\nupload_age = \"2s\"\n\
         [tenant.graph]\npath = \"acme.db\"\n\
         [[tenant]]\nname = \"globex\"\ndescription = \"bought in spring\"\n\
         [tenant.events]\nbase_url = \"{url}\"\ntoken = {{ file = \"wrong\" }}\n[tenant.graph]\npath = \"globex.db\"\n",
        connect = simulator.connect_url(),
        jupiterone = simulator.jupiterone_url(),
        account = simulator.jupiterone_account(),
        instance = simulator.integration_instance_id(),
    );
    fs::write(place.path("opgraph.toml"), text).unwrap();
    let mut run = place.program();
    run.args(["run", "--config", "opgraph.toml"]);
    Shown::start(run, place.path("log")).await
}

/// Every text whose colour is too near its ground: WCAG's contrast below 4.5.
const ILLEGIBLE: &str = r#"
const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b; };
const parse = (text) => text.match(/[\d.]+/g).map(Number);
const ground = (element) => { for (; element; element = element.parentElement) {
  const colour = parse(getComputedStyle(element).backgroundColor);
  if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3); } return [255, 255, 255]; };
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !element.checkVisibility() || element.closest("svg")) continue;
  const [a, b] = [light(parse(getComputedStyle(element).color).slice(0, 3)), light(ground(element))];
  const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (contrast < 4.5) found.push(element.className + " " + element.textContent + " " + contrast.toFixed(2));
}
return found;"#;

/// How much wider than the window the page is.
const OVERHANG: &str = "return document.documentElement.scrollWidth - window.innerWidth";

const READ: &str = "[...document.querySelectorAll('.tenant')].at(-1).querySelector('.sources').innerText";

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_lives_in_a_browser() {
    let Some(browser) = Browser::start().await else {
        eprintln!("the status page was not tested: there is no chromedriver (Debian: chromium-driver)");
        return;
    };
    let busy = Rates { server_error: 100, ..Rates::default() };
    let faults = Faults { events: busy, ..Faults::default() };
    let config =
        Config { events: 2_000, rate: 30.0, page_cap: 200, history: HISTORY, faults, ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let place = Place::of(&simulator);
    let mut shown = shown(&simulator, &place).await;
    let url = format!("http://{}/", shown.address);

    // It loads, and says who needs somebody, in words.
    browser.open(&url).await;
    browser.run("window.loaded_once = true").await;
    browser.until("return document.getElementById('live').textContent === 'live'").await;
    browser.until("return document.querySelector('.tenant h2').textContent === 'globex'").await;
    browser.until("return document.title === '(1) opgraph'").await;
    let first = browser.run("return document.querySelector('.tenant').innerText").await;
    let first = first.as_str().unwrap();
    assert!(first.contains("stopped") && first.contains("issue a new Events Reporting token"), "{first}");

    // It lives: numbers change, and nothing is loaded anew.
    browser.until(&format!("return {READ}.includes('caught up')")).await;
    browser.run(&format!("window.before = {READ}")).await;
    browser.until(&format!("return {READ} !== window.before")).await;
    assert_eq!(browser.run("return window.loaded_once").await, true);
    assert_eq!(browser.console().await, Vec::<String>::new(), "nothing to complain about");

    // By day, at night, on a phone: nothing hangs over, everything can be read.
    let scheme = |name: &str| json!({"features": [{"name": "prefers-color-scheme", "value": name}]});
    let device = |width, height, mobile| json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
    for (name, of) in [
        ("desk", device(1280, 1000, false)),
        ("phone", device(390, 1400, true)),
        ("watch", device(280, 900, true)),
    ] {
        browser.tell("Emulation.setDeviceMetricsOverride", of).await;
        for colours in ["light", "dark"] {
            browser.tell("Emulation.setEmulatedMedia", scheme(colours)).await;
            assert!(browser.run(OVERHANG).await.as_i64().unwrap() <= 0, "{name} {colours}");
            assert_eq!(browser.run(ILLEGIBLE).await, json!([]), "{name} {colours}");
            let ground = browser.run("return getComputedStyle(document.body).backgroundColor").await;
            assert_eq!(ground == "rgb(14, 17, 21)", colours == "dark", "{ground}");
            browser.picture(&picture(&format!("{name}-{colours}"))).await;
        }
    }

    // By keyboard: everything that can be used is reached, and seen to be.
    let mut reached = Vec::new();
    for _ in 0..10 {
        browser.press('\u{e004}').await;
        let at = "const at = document.activeElement; \
                  return [at.id || at.textContent.slice(0, 12), getComputedStyle(at).outlineStyle]";
        let at = browser.run(at).await;
        reached.push(at[0].as_str().unwrap().to_owned());
        if reached.last().unwrap() == "pause" {
            assert_eq!(at[1], "solid", "focus is visible");
            break;
        }
    }
    for goal in ["/api/status", "/metrics", "pause"] {
        assert!(reached.iter().any(|at| at == goal), "{goal}: {reached:?}");
    }
    browser.press('\u{e007}').await;
    browser.until("return document.getElementById('pause').getAttribute('aria-pressed') === 'true'").await;
    browser.press('\u{e007}').await;
    browser.until("return document.getElementById('live').textContent === 'live'").await;
    assert_eq!(browser.run("return document.activeElement.id").await, "pause", "focus stays where it is");

    // Once the process is gone, the page says so.
    shown.child.kill().unwrap();
    browser.until("return document.getElementById('live').textContent.startsWith('no answer since')").await;
    browser.picture(&picture("gone")).await;
    browser.close().await;
}

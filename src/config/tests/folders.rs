//! Tenants from several files.

use std::fs;

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// A tenant with a graph of its own.
fn named(name: &str) -> String {
    format!("{}[tenant.graph]\npath = \"{name}.db\"\n", ACME.replace("acme", name))
}

/// What is wrong with what `--config` names, without the temporary folder's name.
fn wrong(dir: &tempfile::TempDir, config: &str) -> Vec<String> {
    let error = Config::load(&dir.path().join(config)).expect_err("problems");
    let here = format!("{}/", dir.path().display());
    error.problems().iter().map(|problem| problem.to_string().replace(&here, "")).collect()
}

fn names(config: &Config) -> Vec<&str> {
    config.tenants.iter().map(|tenant| tenant.name.as_str()).collect()
}

#[test]
fn a_folder_of_tenants_is_read_in_the_order_of_its_names() {
    let dir = folder(&[
        ("etc/opgraph.toml", &format!("state_dir = \"s\"\ntenants = \"../d\"\n{}", named("main"))),
        ("d/20.toml", &named("c")),
        ("d/10.toml", &(named("b") + &named("a"))),
        ("d/30.toml", "# nobody yet"),
        // What is not read would be a problem each.
        ("d/.20.toml.swp", "?"),
        ("d/.hidden.toml", "?"),
        ("d/notes.txt", "?"),
        ("d/old.toml/10.toml", "?"),
    ]);
    let config = Config::load(&dir.path().join("etc/opgraph.toml")).unwrap();
    assert_eq!(names(&config), ["main", "b", "a", "c"]);
    // Each path starts from the folder of the file it is in.
    assert_eq!(config.state_dir, dir.path().join("etc/s"));
    let graph = |n: usize| config.tenants[n].graph.as_ref().map(|graph| graph.path.clone());
    assert_eq!(graph(0), Some(dir.path().join("etc/main.db")));
    assert_eq!(graph(3), Some(dir.path().join("etc/../d/c.db")));
}

#[test]
fn a_folder_may_be_the_whole_configuration() {
    let dir = folder(&[("b.toml", &named("b")), ("a.toml", &named("a"))]);
    let config = Config::load(dir.path()).unwrap();
    assert_eq!((names(&config), &config.state_dir), (vec!["a", "b"], &dir.path().join("opgraph-state")));

    fs::write(dir.path().join("opgraph.toml"), format!("state_dir = \"s\"\ntenants = \".\"\n{}", named("m")))
        .unwrap();
    let config = Config::load(dir.path()).unwrap();
    assert_eq!((names(&config), &config.state_dir), (vec!["m", "a", "b"], &dir.path().join("s")));

    let empty = folder(&[("readme", "")]);
    assert_eq!(
        wrong(&empty, ""),
        ["opgraph.toml: cannot read the configuration: No such file or directory (os error 2)\n  \
          hint: write it, or files of tenants beside it that end with `.toml`"]
    );
}

#[test]
fn the_problems_of_all_files_come_to_light_at_once_each_under_its_own_name() {
    let dir = folder(&[
        ("opgraph.toml", &format!("tenants = \"d\"\n{}", named("acme").replace("OP_EVENTS", "OP-EVENTS"))),
        ("d/1.toml", "[[tenant]\nname = 1"),
        ("d/2.toml", &format!("state_dir = \"x\"\nallow_custom_host = true\n{}colour = 1", named("b"))),
        ("d/3.toml", &format!("# a line\n{}", named("c").replace("\"c\"", "\" \""))),
        ("d/4.toml", &named("b")),
    ]);
    fs::write(dir.path().join("d/5.toml"), b"\xff").unwrap();
    let found = wrong(&dir, "opgraph.toml");
    let starts: Vec<&str> = found.iter().map(|problem| problem.split_once(": ").unwrap().0).collect();
    assert_eq!(
        starts,
        [
            "opgraph.toml:6:17",
            "d/1.toml:1:10",
            "d/2.toml:1:1",
            "d/2.toml:2:1",
            "d/2.toml:10:1",
            "d/3.toml:4:8",
            "d/4.toml:3:8",
            "d/4.toml:7:8",
            "d/5.toml",
        ],
        "{found:#?}"
    );
    let main = "hint: it concerns all tenants: write it into the main file";
    assert_eq!(
        found[2],
        format!("d/2.toml:1:1: state_dir: this key has no place in a folder of tenants\n  {main}")
    );
    assert_eq!(found[3], "d/2.toml:2:1: allow_custom_host: unknown key\n  hint: the keys here are tenant");
    assert_eq!(
        found[8],
        "d/5.toml: cannot read the file: stream did not contain valid UTF-8\n  hint: every `*.toml` of the folder is read"
    );
}

#[test]
fn no_two_tenants_of_any_files_share_a_name_a_graph_or_a_place_in_jupiterone() {
    let jupiterone = "[tenant.jupiterone]\naccount = \"j1\"\ntoken = { env = \"K\" }\nscope = \"s\"\n";
    let dir = folder(&[
        ("opgraph.toml", &format!("tenants = \"d\"\n{}", named("acme"))),
        ("d/1.toml", &format!("{}{}", named("b"), named("c") + jupiterone)),
        ("d/2.toml", &named("acme")),
        ("d/3.toml", &named("e").replace("e.db", "b.db")),
        ("d/4.toml", &format!("{}{jupiterone}", named("f"))),
    ]);
    let found = wrong(&dir, "opgraph.toml");
    let whats: Vec<&str> = found.iter().map(|problem| problem.lines().next().unwrap()).collect();
    assert_eq!(
        whats,
        [
            "d/2.toml:3:8: tenant[0].name: tenant[0] of opgraph.toml has this name too",
            "d/3.toml:7:8: tenant[0].graph.path: tenant[0] of d/1.toml has this graph file too",
            "d/4.toml:11:9: tenant[0].jupiterone.scope: tenant[1] of d/1.toml has this place in JupiterOne too",
        ]
    );
}

#[test]
fn a_folder_that_cannot_be_read_is_a_problem_of_the_file_that_names_it() {
    let dir = folder(&[("opgraph.toml", "tenants = \"d\"")]);
    assert_eq!(
        wrong(&dir, "opgraph.toml"),
        [
            "opgraph.toml:1:11: tenants: cannot read the folder `d`: No such file or directory (os error 2)\n  \
          hint: name a folder of files that end with `.toml`, or leave `tenants` out"
        ]
    );
    fs::create_dir(dir.path().join("d")).unwrap();
    assert_eq!(
        wrong(&dir, "opgraph.toml"),
        ["opgraph.toml:1:11: tenants: there is no tenant\n  \
          hint: write a section `[[tenant]]` with a `name`, and `[tenant.events]` with a `token`"]
    );
}

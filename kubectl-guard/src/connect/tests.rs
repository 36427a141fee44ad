//! Kubeconfigs that are there, broken or incomplete, and what leaves on the wire.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;

use super::*;
use crate::exit::Exit;

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: kind
clusters:
- {name: kind, cluster: {server: 'https://10.1.2.3:6443'}}
- {name: far, cluster: {server: 'https://far.example.org', proxy-url: 'http://named:1'}}
users:
- {name: ann, user: {token: abc}}
contexts:
- {name: kind, context: {cluster: kind, user: ann, namespace: shop}}
- {name: far, context: {cluster: far, user: ann}}
";

fn flags(text: &str) -> (tempfile::TempDir, KubeFlags) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    std::fs::write(&path, text).unwrap();
    (dir, KubeFlags { kubeconfig: Some(path), ..KubeFlags::default() })
}

fn open(flags: &KubeFlags, environment: &Environment) -> Result<Connection, Error> {
    // A client needs a runtime around it from its first moment.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    Connection::open(flags, environment)
}

/// What kube's client is made from.
fn configured(flags: &KubeFlags, environment: &Environment) -> Config {
    let (kubeconfig, file) = kubeconfig::read(flags, environment).unwrap();
    config(&Target::choose(kubeconfig, &file, flags).unwrap(), flags, environment).unwrap()
}

fn error(flags: &KubeFlags) -> Error {
    open(flags, &Environment::default()).err().expect("no error")
}

#[test]
fn the_current_context_is_used_with_its_namespace() {
    let (_dir, flags) = flags(KUBECONFIG);
    let connection = open(&flags, &Environment::default()).unwrap();
    assert_eq!(connection.context, "kind");
    assert_eq!(connection.server, "https://10.1.2.3:6443");
    assert_eq!(connection.namespace, "shop");
    assert!(!configured(&flags, &Environment::default()).default_retry);
}

#[test]
fn flags_win_over_the_kubeconfig() {
    let (_dir, mut flags) = flags(KUBECONFIG);
    flags.namespace = Some("bank".into());
    flags.server = Some("https://other:1".into());
    flags.impersonate = Some("bob".into());
    flags.impersonate_uid = Some("7".into());
    flags.impersonate_group = vec!["ops".into(), "dev".into()];
    let connection = open(&flags, &Environment::default()).unwrap();
    assert_eq!((connection.namespace.as_str(), connection.server.as_str()), ("bank", "https://other:1"));
    let user = configured(&flags, &Environment::default()).auth_info;
    assert_eq!((user.impersonate.as_deref(), user.impersonate_uid.as_deref()), (Some("bob"), Some("7")));
    assert_eq!(user.impersonate_groups.as_deref(), Some(&["ops".to_owned(), "dev".to_owned()][..]));
}

#[test]
fn an_unknown_name_lists_those_there_are() {
    let (_dir, mut flags) = flags(KUBECONFIG);
    flags.context = Some("prod".into());
    assert_eq!(error(&flags).hint().unwrap(), "there are the contexts kind, far");
    flags.context = None;
    flags.user = Some("eve".into());
    assert_eq!(error(&flags).hint().unwrap(), "there are the users ann");
}

#[test]
fn broken_kubeconfigs_are_errors_that_name_the_file() {
    let cases = [
        "a: [",
        "\u{0}",
        "contexts: 7",
        "current-context: x\ncontexts: [{name: x, context: {cluster: y}}]\nclusters: [{name: y, cluster: {server: nonsense}}]",
        "current-context: x\ncontexts: [{name: x, context: {cluster: y}}]\nclusters: [{name: y}]",
        "current-context: x\ncontexts: [{name: x, context: {cluster: y}}]\n\
         clusters: [{name: y, cluster: {server: 'https://a', certificate-authority-data: '!'}}]",
        "current-context: x\ncontexts: [{name: x, context: {cluster: y}}]\n\
         clusters: [{name: y, cluster: {server: 'https://a', certificate-authority: /no/such/file}}]",
    ];
    for text in cases {
        let (dir, flags) = flags(text);
        let error = error(&flags);
        assert_eq!(error.process_exit_code(), Exit::Error, "{text}");
        assert!(error.to_string().contains(&*dir.path().to_string_lossy()), "{error}");
    }
}

#[test]
fn an_authority_that_is_named_is_asked_and_another_server_has_a_name_of_its_own() {
    let text = "current-context: x\ncontexts: [{name: x, context: {cluster: y}}]\nclusters: [{name: y, cluster: \
         {server: 'https://a', insecure-skip-tls-verify: true, tls-server-name: b}}]\n";
    let seen = |change: fn(&mut KubeFlags)| {
        let (dir, mut flags) = flags(text);
        change(&mut flags);
        let (kubeconfig, file) = kubeconfig::read(&flags, &Environment::default()).unwrap();
        let cluster = Target::choose(kubeconfig, &file, &flags).unwrap().cluster;
        drop(dir);
        (cluster.insecure_skip_tls_verify.unwrap_or(false), cluster.tls_server_name)
    };
    let name = |text: &str| Some(text.to_owned());
    assert_eq!(seen(|_| ()), (true, name("b")));
    assert_eq!(seen(|flags| flags.certificate_authority = Some("ca.pem".into())), (false, name("b")));
    assert_eq!(seen(|flags| flags.server = Some("https://c".into())), (true, None));
    let both = |flags: &mut KubeFlags| {
        (flags.certificate_authority, flags.insecure_skip_tls_verify) = (Some("ca.pem".into()), true);
    };
    assert!(seen(both).0, "kubectl refuses both, kube's client believes the second");
}

#[test]
fn a_token_that_no_header_takes_is_an_error() {
    let (_dir, mut kube) = flags(KUBECONFIG);
    for token in ["s3cret\r", "s3c\nret", "s3cr\u{0}et"] {
        kube.token = Some(token.to_owned());
        let error = error(&kube);
        assert!(error.to_string().contains("the user's token holds a line break"), "{error}");
        assert!(!error.shown().contains("s3c"), "{}", error.shown());
    }
}

#[test]
fn what_stands_around_a_token_in_a_file_is_not_of_it() {
    let (url, head) = one_request();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret\r\n").unwrap();
    let text = KUBECONFIG.replace("token: abc", &format!("token: abc, tokenFile: '{}'", file.display()));
    let (_dir, kube) = flags(&text.replace("https://10.1.2.3:6443", &url));
    asked(&kube);
    let head = head.join().unwrap();
    assert!(head.lines().any(|line| line == "authorization: bearer s3cret"), "{head}");
}

/// Asks who we are, over the wire.
fn asked(flags: &KubeFlags) -> Identity {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = async { Connection::open(flags, &Environment::default()).unwrap().identity().await.unwrap() };
    runtime.block_on(asked)
}

/// A SOCKS proxy that leads whoever asks for any name to `url`; the bytes of the request that it was sent.
fn socks(url: &str) -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("socks5://{}", listener.local_addr().unwrap());
    let address = url.trim_start_matches("http://").to_owned();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 300];
        let methods = stream.read(&mut bytes).unwrap();
        assert!(methods >= 3 && bytes[0] == 5, "{:?}", &bytes[..methods]);
        stream.write_all(&[5, 0]).unwrap();
        let asked = stream.read(&mut bytes).unwrap();
        stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1]).unwrap();
        let mut server = std::net::TcpStream::connect(address).unwrap();
        let (mut request, mut answer) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut request, &mut server));
        std::io::copy(&mut answer, &mut stream).unwrap();
        bytes[..asked].to_vec()
    });
    (proxy, asked)
}

#[test]
fn a_socks_proxy_is_told_the_servers_name() {
    let (url, head) = one_request();
    let (proxy, asked_for) = socks(&url);
    let cluster = format!("{{server: 'http://api.guard.test:8080', proxy-url: '{proxy}'}}");
    let (_dir, kube) = flags(&KUBECONFIG.replace("{server: 'https://10.1.2.3:6443'}", &cluster));
    assert_eq!(asked(&kube).username, "ann");
    assert!(head.join().unwrap().contains("host: api.guard.test"));
    let asked_for = asked_for.join().unwrap();
    // Version 5, connect, nothing, a name: its length and itself, and the port.
    assert_eq!(asked_for, [&[5, 1, 0, 3, 14][..], b"api.guard.test", &8080_u16.to_be_bytes()].concat());
}

#[test]
#[cfg(unix)]
fn a_plugins_token_that_no_header_takes_is_an_error_too() {
    let token = r#"["-c", "echo '{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1\", \"status\": {\"token\": \"s3c\\\\nret\"}}'"]"#;
    let (_dir, kube) = flags(&with_plugin("sh", token, "https://a"));
    let error = error(&kube);
    assert_eq!(error.to_string(), "credential plugin sh wrote a token that no header takes");
    assert!(!error.shown().contains("s3c"), "{}", error.shown());
}

#[test]
fn a_mistake_beside_a_token_does_not_show_the_token() {
    let (_dir, flags) = flags("users:\n- name: ann\n  user: {token: s3cret, token: s3cret, : }\n");
    assert!(!error(&flags).shown().contains("s3cret"));
}

/// A kubeconfig whose user is a credential plugin.
fn with_plugin(command: &str, arguments: &str, server: &str) -> String {
    format!(
        "current-context: x\ncontexts: [{{name: x, context: {{cluster: y, user: z}}}}]\n\
         clusters: [{{name: y, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: z, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
         command: '{command}', args: {arguments}}}}}}}]\n"
    )
}

#[test]
#[cfg(unix)]
fn a_credential_plugin_that_fails_is_named_and_nothing_of_what_it_wrote() {
    for (command, arguments, said) in [
        ("aws-nope", "[s3cret]", "credential plugin aws-nope is not on the PATH"),
        ("/no/such/aws", "[s3cret]", "credential plugin /no/such/aws is not there"),
        ("sh", "['-c', 'echo s3cret; echo s3cret >&2; exit 3']", "credential plugin sh ended with status 3"),
        ("sh", "['-c', 'echo s3cret; kill -9 $$']", "credential plugin sh was ended by a signal"),
        ("echo", "['{s3cret: [']", "credential plugin echo wrote what cannot be read"),
        ("echo", "['{kind: ExecCredential, s3cret: 1}']", "credential plugin echo wrote no credentials"),
    ] {
        let (_dir, flags) = flags(&with_plugin(command, arguments, "https://a"));
        let error = error(&flags);
        assert_eq!(error.to_string(), said);
        assert!(!error.shown().contains("s3cret"), "{}", error.shown());
    }
}

#[test]
#[cfg(unix)]
fn a_credential_plugin_that_fails_later_is_told_in_the_same_words() {
    let once = tempfile::tempdir().unwrap();
    let script = format!(
        r#"["-c", "mkdir {} || {{ echo s3cret; exit 3; }}; echo '{{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1\", \"status\": {{\"token\": \"t\", \"expirationTimestamp\": \"2026-01-01T00:00:00Z\"}}}}'"]"#,
        once.path().join("was-here").display()
    );
    let (_dir, flags) = flags(&with_plugin("sh", &script, "http://127.0.0.1:1"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async {
        let connection = Connection::open(&flags, &Environment::default()).unwrap();
        connection.identity().await.unwrap_err()
    });
    assert_eq!(error.to_string(), "credential plugin sh ended with status 3");
    assert!(error.may_pass());
}

#[test]
fn the_names_of_a_kubeconfig_can_be_had_for_completion() {
    let (_dir, flags) = flags(KUBECONFIG);
    let of = |kind| names(kind, flags.kubeconfig.as_deref(), &Environment::default());
    assert_eq!((of(Named::Context), of(Named::User)), (vec!["kind".into(), "far".into()], vec!["ann".into()]));
    assert_eq!(of(Named::Cluster), ["kind", "far"]);
    assert!(names(Named::Context, None, &Environment::default()).is_empty());
}

#[test]
fn missing_and_empty_kubeconfigs_say_so() {
    let missing = KubeFlags { kubeconfig: Some(PathBuf::from("/no/such/config")), ..KubeFlags::default() };
    assert!(matches!(error(&missing), Error::NoKubeconfig { .. }));
    let nowhere = open(&KubeFlags::default(), &Environment::default()).err().unwrap();
    assert!(matches!(nowhere, Error::NoKubeconfig { .. }));
    let (_dir, empty) = flags("");
    assert!(matches!(error(&empty), Error::NoCurrentContext { .. }));
}

#[test]
fn of_a_list_the_missing_files_are_skipped() {
    let (_dir, flags) = flags(KUBECONFIG);
    let list = std::env::join_paths([PathBuf::from("/no/such/config"), flags.kubeconfig.unwrap()]).unwrap();
    let environment = Environment { kubeconfig: Some(list), ..Environment::default() };
    assert_eq!(open(&KubeFlags::default(), &environment).unwrap().context, "kind");
}

#[test]
fn the_proxy_is_chosen_by_the_clusters_host() {
    let (_dir, mut flags) = flags(KUBECONFIG);
    let environment = |no_proxy: &str| Environment {
        https_proxy: Some("http://proxy:3128".into()),
        no_proxy: Some(no_proxy.into()),
        ..Environment::default()
    };
    let proxy = |flags: &KubeFlags, no_proxy| {
        configured(flags, &environment(no_proxy)).proxy_url.map(|url| url.host().unwrap_or_default().to_owned())
    };
    assert_eq!(proxy(&flags, "a,").as_deref(), Some("proxy"));
    assert_eq!(proxy(&flags, "10.0.0.0/8,"), None);
    flags.context = Some("far".into());
    assert_eq!(proxy(&flags, "*").as_deref(), Some("named"));
}

/// Answers one request with 201 and an empty review, and hands its head over.
fn one_request() -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let head = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 8192];
        let n = stream.read(&mut bytes).unwrap();
        let body = r#"{"status":{"userInfo":{"username":"ann","groups":["ops"]}}}"#;
        write!(
            stream,
            "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        String::from_utf8_lossy(&bytes[..n]).to_lowercase()
    });
    (url, head)
}

#[test]
fn requests_carry_who_asks_and_for_whom() {
    let (url, head) = one_request();
    let flags = KubeFlags {
        server: Some(url),
        token: Some("t0ken".into()),
        impersonate: Some("bob".into()),
        impersonate_uid: Some("7".into()),
        impersonate_group: vec!["ops".into(), "dev".into()],
        ..KubeFlags::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let identity = runtime.block_on(async {
        let connection = Connection::open(&flags, &Environment::default()).unwrap();
        connection.with_user_agent_suffix("plan/0f3a").unwrap().identity().await.unwrap()
    });
    assert_eq!(identity, Identity { username: "ann".into(), uid: None, groups: vec!["ops".into()] });
    let head = head.join().unwrap();
    for line in [
        &format!("user-agent: kubectl-guard/{VERSION} ({}/{}) plan/0f3a", std::env::consts::OS, std::env::consts::ARCH),
        "authorization: bearer t0ken",
        "impersonate-user: bob",
        "impersonate-uid: 7",
        "impersonate-group: ops",
        "impersonate-group: dev",
    ] {
        assert!(head.lines().any(|l| l == line), "{line} is not in\n{head}");
    }
    assert_eq!(head.matches("user-agent").count(), 1);
}

/// A drain of many pods makes a connection for each write, and must not log in for each.
#[cfg(unix)]
#[test]
fn writes_run_no_credential_plugin_of_their_own() {
    use std::os::unix::fs::PermissionsExt as _;

    let (url, head) = one_request();
    let dir = tempfile::tempdir().unwrap();
    let (plugin, runs) = (dir.path().join("plugin"), dir.path().join("runs"));
    let answer =
        r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t0ken"}}"#;
    let script = format!("#!/bin/sh\necho >> {}\necho '{answer}'\n", runs.display());
    std::fs::write(&plugin, script).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o700)).unwrap();
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: a, contexts: [{{name: a, context: {{cluster: a, user: a}}}}],
          clusters: [{{name: a, cluster: {{server: '{url}'}}}}],
          users: [{{name: a, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never,
            command: {}}}}}}}]}}",
        plugin.display()
    );
    let (_dir, flags) = flags(&text);
    let counted = || std::fs::read(&runs).map_or(0, |lines| lines.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = Connection::open(&flags, &Environment::default()).unwrap();
        let at_first = counted();
        assert!(at_first > 0, "the plugin is what is logged in with");
        for step in 0..20 {
            connection.with_user_agent_suffix(&format!("plan/{step}")).unwrap();
        }
        connection.with_user_agent_suffix("plan/0f3a").unwrap().identity().await.unwrap();
        assert_eq!(counted(), at_first);
    });
    let head = head.join().unwrap();
    assert!(head.contains("authorization: bearer t0ken") && head.contains(" plan/0f3a"), "{head}");
}

//! The test cluster itself: what every other test stands on.

use std::time::Duration;

use anyhow::Result;
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::wait;
use serde_json::json;

pub(crate) fn pods_of_two_nodes_reach_each_other(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let pod = |name: &str, node: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never"}]}})
        .to_string()
    };
    admin.apply(&pod("there", "node2"))?;
    admin.apply(&pod("here", "node1"))?;
    for name in ["there", "here"] {
        let ready = ["wait", "--for=condition=Ready", "--timeout=1s", "pod", name];
        wait::until(&format!("pod {name} to be ready"), Duration::from_mins(1), || admin.kubectl(&ready).map(Some))?;
    }
    let address = admin.kubectl(&["get", "pod", "there", "-o", "jsonpath={.status.podIP}"])?;
    let said = admin.kubectl(&["exec", "here", "--", "/work", "get", &format!("http://{address}:8080/")])?;
    assert_eq!(said.trim(), "200 OK");
    admin.kubectl(&["delete", "pod", "here", "there", "--wait=false"])?;
    Ok(())
}

//! Who made an object, as its managed fields tell.

use kube::api::ObjectMeta;

use crate::plan::FIELD_MANAGER;

/// How `install` writes.
const INSTALL: (Option<&str>, Option<&str>) = (Some(FIELD_MANAGER), Some("Apply"));
/// Who fills in what Kubernetes itself keeps in an object, such as the Secrets of a ServiceAccount.
pub(super) const CONTROLLERS: &str = "kube-controller-manager";

/// Whether `install` alone made it: what kubectl, Helm, an operator or a person had a hand in is theirs, whatever its labels
/// say.
pub(super) fn made_by_install(metadata: &ObjectMeta) -> bool {
    applied_by_install(metadata) && wishes(metadata).all(|wish| wish == INSTALL)
}

/// Whether `install` had a hand in it, whoever else had one since.
pub(super) fn applied_by_install(metadata: &ObjectMeta) -> bool {
    wishes(metadata).any(|wish| wish == INSTALL)
}

/// Who wanted something of the object, and how they said so.
fn wishes(metadata: &ObjectMeta) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
    let fields = metadata.managed_fields.iter().flatten();
    // A status is nobody's wish.
    fields
        .filter(|field| field.subresource.is_none() && field.manager.as_deref() != Some(CONTROLLERS))
        .map(|field| (field.manager.as_deref(), field.operation.as_deref()))
}

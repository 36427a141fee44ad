use super::*;

#[test]
fn what_is_put_into_a_uri_cannot_change_it() {
    assert_eq!(encoded("app=cart,tier!=db"), "app%3Dcart%2Ctier%21%3Ddb");
    assert_eq!(encoded("node-1.example_~"), "node-1.example_~");
    assert_eq!(encoded("a/../b?c#é"), "a%2F..%2Fb%3Fc%23%C3%A9");
    assert_eq!(core(Some("../nodes")), "/api/v1/namespaces/..%2Fnodes");
}

# `opa test docs/policy/gitlab.rego docs/policy/gitlab_test.rego`
package countersign.gitlab_test

import data.countersign.gitlab
import rego.v1

job := {
	"namespace_path": "acme", "namespace_id": "72",
	"project_path": "acme/widgets", "project_id": "20",
	"job_project_path": "acme/widgets", "job_project_id": "20",
	"pipeline_source": "push",
	"ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true",
}

releases := {
	"name": "releases", "issuer": "https://gitlab.com", "project_id": "20",
	"refs": ["refs/heads/main", "refs/tags/v*"],
}

# A certificate with these claims; a claim that is null is not in it.
certificate_below(arc, claims) := {
	"is_ca": false,
	"is_precertificate": false,
	"extended_key_usage": ["1.3.6.1.5.5.7.3.3"],
	"names": [{"kind": "uri", "value": "https://gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main"}],
	"extensions": array.concat(
		[
			{"oid": "1.3.6.1.4.1.57264.1.1", "name": "Issuer", "value": "https://gitlab.com"},
			{"oid": "1.3.6.1.4.1.57264.1.8", "name": "Issuer (V2)", "value": "https://gitlab.com"},
		],
		[{"oid": sprintf("%s.%s", [arc, number]), "name": name, "value": claims[name]} |
			some number, name in gitlab.claim_names
			claims[name] != null
		],
	),
}

certificate(changes) := certificate_below(gitlab.default_arc, object.union(job, changes))

admits(claims, signers) if gitlab.allow with input as certificate(claims) with data.signers as signers

# A project's other path; its jobs run in it.
at(path) := {"project_path": path, "job_project_path": path}

signer(changes) := object.union(releases, changes)

denies(claims, signers) := found if {
	found := gitlab.deny with input as certificate(claims) with data.signers as signers
}

test_a_protected_ref_of_the_project if admits({}, [releases])

test_a_protected_tag if {
	admits({"ref": "v1.2.0", "ref_type": "tag", "ref_path": "refs/tags/v1.2.0"}, [releases])
	not admits({"ref": "x1.2.0", "ref_type": "tag", "ref_path": "refs/tags/x1.2.0"}, [releases])
}

test_the_ref_of_an_old_gitlab_is_put_together if {
	admits({"ref_path": null}, [releases])
	admits({"ref_path": null, "ref": "v1", "ref_type": "tag"}, [releases])
	not admits({"ref_path": null, "ref": "v1"}, [releases])
	not admits({"ref_path": null, "ref_type": null}, [releases])
}

test_which_signer_it_was if {
	found := gitlab.admitted_by with input as certificate({})
		with data.signers as [signer({"name": "other", "project_id": "21"}), releases]
	found == {"releases"}
}

test_a_ref_that_is_not_protected if {
	denies({"ref_protected": "false"}, [releases]) == {"releases: the ref is not protected"}
	denies({"ref_protected": null}, [releases]) == {"releases: the ref is not protected"}
	admits({"ref_protected": "false"}, [signer({"unprotected": true})])
	not admits({"ref_protected": "false"}, [signer({"unprotected": "true"})])
}

test_a_star_stays_between_slashes if {
	not admits({"ref_path": "refs/tags/v1/evil"}, [releases])
	not admits({"ref_path": "refs/heads/main-evil"}, [releases])
	not admits({"ref_path": "refs/heads/x/refs/heads/main"}, [releases])
}

test_another_project if {
	denies({"project_id": "21", "job_project_id": "21"}, [releases]) == {"releases: project_id is 21, not 20"}
}

test_a_path_taken_by_another_project if {
	not admits({"project_id": "99", "job_project_id": "99"}, [signer({"project_path": "acme/widgets"})])
}

test_a_project_that_was_renamed if {
	admits(at("acme/gadgets"), [releases])
	denies(at("acme/gadgets"), [signer({"project_path": "acme/widgets"})]) == {"releases: project_path is acme/gadgets, not acme/widgets"}
}

test_a_number_is_no_text if {
	denies({}, [signer({"project_id": 20})]) == {"signer 0: project_id is no text"}
}

of_a_group := object.union(object.remove(releases, ["project_id"]), {"group": "acme"})

test_a_group_and_those_that_look_like_it if {
	admits({}, [of_a_group])
	admits(at("acme/tools/deep/widgets"), [of_a_group])
	not admits(at("acme-evil/widgets"), [of_a_group])
	not admits(at("acme"), [of_a_group])
	not admits(at("evil/acme/widgets"), [of_a_group])
	not admits({"project_path": null}, [of_a_group])
}

test_a_group_is_written_without_slashes_and_patterns if {
	every group in ["acme/", "/acme", "acme*", "", "acme//x", "ac me"] {
		not admits({}, [object.union(of_a_group, {"group": group})])
	}
}

test_a_namespace_by_its_id if {
	in_namespace := object.union(object.remove(releases, ["project_id"]), {"namespace_id": "72"})
	admits({}, [in_namespace])
	not admits({"namespace_id": "73"}, [in_namespace])
	not admits({"namespace_id": null}, [in_namespace])
}

test_pipelines_for_forks if {
	not admits({"project_id": "77", "project_path": "eve/widgets"}, [releases, signer({"project_id": "77"})])
	not admits({"job_project_id": null, "pipeline_source": "merge_request_event"}, [releases])
	not admits({"job_project_id": null, "pipeline_source": "parent_pipeline"}, [releases])
	admits({"pipeline_source": "merge_request_event"}, [releases])
	admits({"pipeline_source": "parent_pipeline"}, [releases])
	admits({"job_project_id": null, "job_project_path": null}, [releases])
}

test_a_fork_that_only_the_path_tells if {
	elsewhere := {"job_project_path": "eve/widgets"}
	denies(elsewhere, [releases]) == {"it is of a pipeline for a fork: job_project_path is not project_path"}
	not admits(object.union(elsewhere, {"job_project_id": null}), [releases])
	not admits(object.union(elsewhere, {"project_path": null}), [of_a_group])
	count(denies({"job_project_path": "eve/widgets", "job_project_id": "77"}, [releases])) == 2
}

test_another_gitlab if {
	not admits({}, [signer({"issuer": "https://gitlab.example.com"})])
	bare := object.union(certificate({}), {"extensions": array.slice(certificate({}).extensions, 2, 99)})
	found := gitlab.deny with input as bare with data.signers as [releases]
	found == {"releases: issuer is not there, not https://gitlab.com"}
}

test_environments if {
	deploys := signer({"environments": ["production"]})
	admits({"environment": "production", "environment_protected": "true"}, [deploys])
	not admits({"environment": "production", "environment_protected": "false"}, [deploys])
	not admits({"environment": "production"}, [deploys])
	not admits({"environment": "staging", "environment_protected": "true"}, [deploys])
	not admits({}, [deploys])
}

test_certificates_of_another_kind if {
	changes := [
		{"is_ca": true}, {"is_precertificate": true}, {"extended_key_usage": []}, {"names": []}, {"extensions": []},
		{"names": [{"kind": "email", "value": "ada@example.com"}]},
	]
	every change in changes {
		not gitlab.allow with input as object.union(certificate({}), change) with data.signers as [releases]
	}
}

test_no_certificate_at_all if {
	not gitlab.allow with input as {} with data.signers as [releases]
	not gitlab.allow with input as [] with data.signers as [releases]
}

test_a_value_that_is_no_text if {
	broken := [object.union(extension, {"value": null}) | some extension in certificate({}).extensions]
	not gitlab.allow with input as object.union(certificate({}), {"extensions": broken}) with data.signers as [releases]
}

test_an_arc_of_the_operator if {
	own := certificate_below("1.3.6.1.4.1.99999.7", job)
	gitlab.allow with input as own with data.signers as [releases] with data.claims_arc as "1.3.6.1.4.1.99999.7"
	not gitlab.allow with input as own with data.signers as [releases]
}

test_an_oid_that_only_begins_like_the_arc if {
	near := certificate_below(sprintf("%s0", [gitlab.default_arc]), job)
	count(gitlab.claims) == 0 with input as near
	not gitlab.allow with input as near with data.signers as [releases]
}

test_a_list_with_a_mistake_admits_nobody if {
	lists := [
		[], {}, "signers", null, [releases, {}], [releases, null], [releases, "x"],
		[signer({"ref": "refs/heads/main"})],
		[signer({"refs": []})], [signer({"refs": "refs/heads/main"})], [signer({"refs": ["main"]})], [signer({"refs": [null]})],
		[signer({"environments": []})],
		[signer({"unprotected": true, "issuer": ""})], [signer({"project_id": null})], [signer({"group": ["acme"]})],
		[object.remove(releases, ["project_id"])], [object.remove(releases, ["issuer"])], [object.remove(releases, ["name"])],
	]
	every list in lists { not admits({}, list) }
}

test_every_denial_has_a_reason if {
	every claims in [{"ref_protected": "false"}, {"project_id": null}, {"ref_path": null, "ref": null}] {
		not admits(claims, [releases])
		count(denies(claims, [releases])) > 0
	}
}

test_no_signers if {
	not gitlab.allow with input as certificate({})
	found := gitlab.deny with input as certificate({})
	found == {"data.signers is no list of signers"}
}

test_what_deserves_a_second_look if {
	found := gitlab.warn with data.signers as [of_a_group, signer({"unprotected": true}), signer({"refs": ["refs/heads/**"]})]
	count(found) == 3
	none := gitlab.warn with data.signers as [releases]
	count(none) == 0
}

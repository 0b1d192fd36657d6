# Who may sign: a certificate, as `countersign inspect --json` prints it, held against a list of signers.
#
# `input` is that document, `data.signers` the list. A signer is an object of:
#
#   name          what the answers call it
#   issuer        the GitLab, as in the certificate: "https://gitlab.com"
#   project_id    the project, by its number in a string: "20"
#   namespace_id  or every project right in this group or user, not in its subgroups
#   group         or every project below this path, in subgroups too: "acme". A path can be renamed and taken by others
#   project_path  beside one of these: the project's path as well
#   refs          globs over the whole ref, where * stays between slashes: ["refs/heads/main", "refs/tags/v*"]
#   environments  optional: one of these environments, and a protected one
#   unprotected   optional, true: refs and environments need not be protected. Any developer can make those
#
# What a certificate does not say, it does not fulfil; a list with a mistake admits nobody. Nothing here verifies the
# certificate: do that first, with the same bundle.
package countersign.gitlab

import rego.v1

# The arc of the raw claims; operators with an arc of their own set data.claims_arc.
default_arc := "1.2.840.113556.1.8000.2554.28867.4258.65327.16907.43729.14999557.3402717"

arc := data.claims_arc if data.claims_arc

else := default_arc

fulcio_arc := "1.3.6.1.4.1.57264.1"

# By their last number in the arc.
claim_names := {
	"1": "namespace_path",
	"2": "namespace_id",
	"3": "project_path",
	"4": "project_id",
	"5": "pipeline_id",
	"6": "pipeline_source",
	"7": "job_id",
	"8": "ref",
	"9": "ref_type",
	"10": "ref_path",
	"11": "ref_protected",
	"12": "environment",
	"13": "environment_protected",
	"14": "deployment_tier",
	"15": "runner_id",
	"16": "runner_environment",
	"17": "job_project_path",
	"18": "job_project_id",
	"19": "job_source",
	"20": "project_visibility",
	"21": "sha",
	"22": "ci_config_ref_uri",
	"23": "ci_config_sha",
}

# The answer, and by which signers.
default allow := false

allow if {
	count(mistakes) == 0
	count(flaws) == 0
	count(admitted_by) > 0
}

admitted_by contains signer.name if {
	some i, signer in data.signers
	not unmet[i]
}

# The raw claims of the certificate, by name.
claims[name] := extension.value if {
	some extension in input.extensions
	startswith(extension.oid, concat("", [arc, "."]))
	name := claim_names[substring(extension.oid, count(arc) + 1, -1)]
	is_string(extension.value)
}

# Fulcio's extensions, by the last number of their OID.
fulcio[number] := extension.value if {
	some extension in input.extensions
	startswith(extension.oid, concat("", [fulcio_arc, "."]))
	number := substring(extension.oid, count(fulcio_arc) + 1, -1)
	is_string(extension.value)
}

# The full ref; tokens before GitLab 16.0 have it in two parts.
ref_path := claims.ref_path if claims.ref_path

ref_path := concat("", [ref_prefixes[claims.ref_type], claims.ref]) if not claims.ref_path

ref_prefixes := {"branch": "refs/heads/", "tag": "refs/tags/"}

# For conftest: why not.
deny contains message if some message in mistakes

deny contains message if {
	count(mistakes) == 0
	some message in flaws
}

deny contains message if {
	count(mistakes) == 0
	count(flaws) == 0
	count(admitted_by) == 0
	some i, signer in data.signers
	some reason in unmet[i]
	message := sprintf("%s: %s", [signer.name, reason])
}

# What makes any certificate unfit. What is negated here and below is a rule or a function of its own: where something is not there, it
# has no value, and `not` of that holds. In a call within a `not` it would silently drop the whole rule instead.
is_leaf if input.is_ca == false

is_final if input.is_precertificate == false

is_for_code_signing if "1.3.6.1.5.5.7.3.3" in input.extended_key_usage

has_one_uri if [name.kind | some name in input.names] == ["uri"]

flaws contains "it is a CA's certificate" if not is_leaf

flaws contains "it is a precertificate" if not is_final

flaws contains "it is not for code signing" if not is_for_code_signing

flaws contains "it has not exactly one name, a URI" if not has_one_uri

flaws contains sprintf("it has no GitLab claims below %s", [arc]) if count(claims) == 0

flaws contains "it is of a pipeline for a fork: job_project_id is not project_id" if {
	claims.job_project_id != claims.project_id
}

# One project has one path. Where only one of the two differs, the claims contradict each other, and nobody knows which is right.
flaws contains "it is of a pipeline for a fork: job_project_path is not project_path" if {
	claims.job_project_path != claims.project_path
}

# Before GitLab 18.4 a token does not tell a fork's merge request from the project's own; nor a child pipeline of one from any other.
flaws contains sprintf("it may be of a pipeline for a fork: %s, without job_project_id", [source]) if {
	some source in ["merge_request_event", "parent_pipeline"]
	claims.pipeline_source == source
	not claims.job_project_id
}

# What keeps a certificate from being a signer's, by the signer's place in the list.
unmet[i] contains sprintf("issuer is %s, not %s", [object.get(fulcio, "8", "not there"), signer.issuer]) if {
	some i, signer in data.signers
	not is_issued_for(signer.issuer)
}

unmet[i] contains sprintf("%s is %s, not %s", [key, object.get(claims, key, "not there"), signer[key]]) if {
	some i, signer in data.signers
	some key in ["project_id", "namespace_id", "project_path"]
	key in object.keys(signer)
	not says(key, signer[key])
}

unmet[i] contains sprintf("project_path is not below %s/", [signer.group]) if {
	some i, signer in data.signers
	"group" in object.keys(signer)
	not is_below(signer.group)
}

unmet[i] contains sprintf("the ref is none of %s", [concat(", ", signer.refs)]) if {
	some i, signer in data.signers
	not ref_is_one_of(signer.refs)
}

unmet[i] contains "the ref is not protected" if {
	some i, signer in data.signers
	not may_be_unprotected(signer)
	not says("ref_protected", "true")
}

unmet[i] contains sprintf("the environment is none of %s", [concat(", ", signer.environments)]) if {
	some i, signer in data.signers
	"environments" in object.keys(signer)
	not environment_is_one_of(signer.environments)
}

unmet[i] contains "the environment is not protected" if {
	some i, signer in data.signers
	"environments" in object.keys(signer)
	not may_be_unprotected(signer)
	not says("environment_protected", "true")
}

says(name, value) if claims[name] == value

is_issued_for(issuer) if fulcio["8"] == issuer

# With the slash: "acme-evil/x" does not begin with "acme/".
is_below(group) if startswith(claims.project_path, concat("", [group, "/"]))

ref_is_one_of(globs) if {
	some pattern in globs
	glob.match(pattern, ["/"], ref_path)
}

environment_is_one_of(names) if claims.environment in names

may_be_unprotected(signer) if signer.unprotected == true

# What is wrong with the list.
known_keys := {
	"name", "issuer", "project_id", "namespace_id", "group", "project_path",
	"refs", "environments", "unprotected",
}

is_list if is_array(data.signers)

mistakes contains "data.signers is no list of signers" if not is_list

mistakes contains "data.signers is empty" if count(data.signers) == 0

mistakes contains sprintf("signer %d is no object", [i]) if {
	some i, signer in data.signers
	not is_object(signer)
}

mistakes contains sprintf("signer %d: %s is no key of a signer", [i, key]) if {
	some i, signer in data.signers
	some key in (object.keys(signer) - known_keys)
}

mistakes contains sprintf("signer %d: %s is missing or no text", [i, key]) if {
	some i, signer in data.signers
	some key in ["name", "issuer"]
	not is_text(object.get(signer, key, null))
}

mistakes contains sprintf("signer %d: %s is no text", [i, key]) if {
	some i, signer in data.signers
	some key in ["project_id", "namespace_id", "group", "project_path"]
	key in object.keys(signer)
	not is_text(signer[key])
}

mistakes contains sprintf("signer %d names no project_id, namespace_id or group", [i]) if {
	some i, signer in data.signers
	count(object.keys(signer) & {"project_id", "namespace_id", "group"}) == 0
}

mistakes contains sprintf("signer %d: a group is a path without slashes around it, and no pattern", [i]) if {
	some i, signer in data.signers
	"group" in object.keys(signer)
	not is_path(signer.group)
}

mistakes contains sprintf("signer %d: refs is no list of globs that begin with refs/", [i]) if {
	some i, signer in data.signers
	not are_refs(object.get(signer, "refs", null))
}

mistakes contains sprintf("signer %d: environments is no list of names", [i]) if {
	some i, signer in data.signers
	"environments" in object.keys(signer)
	not are_texts(signer.environments)
}

is_text(value) if {
	is_string(value)
	value != ""
}

is_path(text) if regex.match(`^[A-Za-z0-9_.][A-Za-z0-9_.-]*(/[A-Za-z0-9_.][A-Za-z0-9_.-]*)*$`, text)

are_texts(list) if {
	is_array(list)
	count(list) > 0
	every text in list { is_text(text) }
}

are_refs(list) if {
	are_texts(list)
	every text in list { startswith(text, "refs/") }
}

# What is allowed to be written, and still worth a second look. conftest shows it.
warn contains sprintf("signer %d: a group's path can be renamed and taken by others; an id cannot", [i]) if {
	some i, signer in data.signers
	"group" in object.keys(signer)
	not "project_id" in object.keys(signer)
	not "namespace_id" in object.keys(signer)
}

warn contains sprintf("signer %d: any developer can make an unprotected ref of that name", [i]) if {
	some i, signer in data.signers
	signer.unprotected == true
}

warn contains sprintf("signer %d: %s admits refs of any depth", [i, pattern]) if {
	some i, signer in data.signers
	some pattern in signer.refs
	contains(pattern, "**")
}

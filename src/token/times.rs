//! The times of a token: `exp`, `nbf`, `iat` (RFC 7519 §4.1.4 to §4.1.6).

use super::Claims;
use crate::environment::UnixMillis;
use crate::refusal::{Reason, Refusal};
use serde_json::{Number, Value};
use std::time::Duration;

/// How long after `exp` a token is still taken: clocks of issuer and CA differ, and a job may sign at its very end.
pub const EXPIRY_LEEWAY: Duration = Duration::from_secs(60);

/// How far `nbf` and `iat` may lie ahead: five minutes, as the reference implementation takes `nbf`. A token from an
/// issuer whose clock is fast is no less the issuer's; `exp` bounds it all the same.
pub const FUTURE_LEEWAY: Duration = Duration::from_secs(300);

/// How far a token's times may lie from the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long after `exp` it is still taken.
    pub after_expiry: Duration,
    /// How far `nbf` and `iat` may lie ahead.
    pub ahead: Duration,
    /// How old it may be by its `iat`, which must then be there; `None`: there is no bound.
    pub oldest: Option<Duration>,
}

impl Times {
    /// Of tokens for certificates. There is no bound on a token's age: GitLab's live as long as the job's timeout, which can be months.
    pub const CERTIFICATE: Self = Self { after_expiry: EXPIRY_LEEWAY, ahead: FUTURE_LEEWAY, oldest: None };
}

/// 9999-12-31T23:59:59Z, the last second that X.509 can name (RFC 5280 §4.1.2.5).
const LAST_SECOND: f64 = 253_402_300_799.0;

/// Checks the token's times. `exp` is required; `nbf` and `iat`, which GitLab always sends, are checked when present.
///
/// # Errors
/// [`Reason::TokenExpired`], [`Reason::TokenNotYetValid`], and those of [`check_form`].
pub fn check(claims: &Claims, now: UnixMillis, times: &Times) -> Result<(), Refusal> {
    check_at(claims, Some(now), times)
}

/// The same without a clock, for claims on paper, which may be of a job long ago: whether the times are there, and are times.
///
/// # Errors
/// [`Reason::ClaimMissing`], [`Reason::ClaimWrongType`] and [`Reason::ClaimInvalid`].
pub fn check_form(claims: &Claims) -> Result<(), Refusal> {
    check_at(claims, None, &Times::CERTIFICATE)
}

fn check_at(claims: &Claims, now: Option<UnixMillis>, times: &Times) -> Result<(), Refusal> {
    let expiry = date(claims, "exp")?.ok_or_else(|| Refusal::new(Reason::ClaimMissing).of_claim("exp"))?;
    if now.is_some_and(|now| expiry.plus(times.after_expiry) <= now) {
        return Err(Refusal::new(Reason::TokenExpired).of_claim("exp"));
    }
    for claim in ["nbf", "iat"] {
        let start = date(claims, claim)?;
        if start.zip(now).is_some_and(|(start, now)| start > now.plus(times.ahead)) {
            return Err(Refusal::new(Reason::TokenNotYetValid).of_claim(claim));
        }
    }
    let Some(oldest) = times.oldest else { return Ok(()) };
    let issued = date(claims, "iat")?.ok_or_else(|| Refusal::new(Reason::ClaimMissing).of_claim("iat"))?;
    if now.is_some_and(|now| issued.plus(oldest) <= now) {
        return Err(Refusal::new(Reason::TokenExpired).of_claim("iat"));
    }
    Ok(())
}

/// `exp` of claims that were checked.
pub fn expiry(claims: &Claims) -> Option<UnixMillis> {
    date(claims, "exp").ok().flatten()
}

fn date(claims: &Claims, claim: &'static str) -> Result<Option<UnixMillis>, Refusal> {
    match claims.member(claim) {
        None => Ok(None),
        Some(Value::Number(number)) => match numeric_date(number) {
            Some(date) => Ok(Some(date)),
            None => Err(Refusal::new(Reason::ClaimInvalid)
                .of_claim(claim)
                .because("It must be a time between 1970 and 9999.")),
        },
        Some(Value::Null) if claim == "exp" => Ok(None),
        Some(_) => Err(Refusal::new(Reason::ClaimWrongType)
            .of_claim(claim)
            .because("It must be a number of seconds since 1970.")),
    }
}

/// A NumericDate (RFC 7519 §2): seconds since 1970 as a JSON number, an integer or not. `None`: outside 1970 to 9999.
fn numeric_date(number: &Number) -> Option<UnixMillis> {
    if let Some(seconds) = number.as_u64() {
        return (seconds <= LAST_SECOND as u64).then(|| UnixMillis::from_secs(seconds));
    }
    // Beyond 64 bits and with fractions a float is as good as it gets; its range is checked before it is converted.
    let seconds = number.as_f64()?;
    (0.0..=LAST_SECOND).contains(&seconds).then_some(UnixMillis((seconds * 1000.0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn judge(members: &str) -> Option<(Reason, Option<String>)> {
        judge_by(&Times::CERTIFICATE, members)
    }

    fn judge_by(times: &Times, members: &str) -> Option<(Reason, Option<String>)> {
        let claims = Claims::parse(format!("{{{members}}}").as_bytes()).expect("an object");
        let refusal = check(&claims, UnixMillis::from_secs(NOW), times).err()?;
        Some((refusal.reason(), refusal.claim().map(str::to_owned)))
    }

    #[test]
    fn times_are_held_to_their_leeway() {
        use Reason::*;
        let ok = |members: String| (members, None);
        let refused = |members: String, reason, claim| (members, Some((reason, claim)));
        for (members, expected) in [
            ok(format!("\"exp\":{}", NOW + 600)),
            ok(format!("\"exp\":{}", NOW - 59)),
            ok(format!("\"exp\":{}.5", NOW - 60)),
            refused(format!("\"exp\":{}", NOW - 60), TokenExpired, "exp"),
            refused(format!("\"exp\":{}.999", NOW - 61), TokenExpired, "exp"),
            refused("\"exp\":0".into(), TokenExpired, "exp"),
            refused("\"exp\":0.0".into(), TokenExpired, "exp"),
            refused("\"exp\":1e-400".into(), TokenExpired, "exp"),
            ok("\"exp\":4e9".into()),
            ok("\"exp\":4E+9".into()),
            ok("\"exp\":253402300799".into()),
            refused("\"exp\":253402300800".into(), ClaimInvalid, "exp"),
            refused("\"exp\":18446744073709551615".into(), ClaimInvalid, "exp"),
            refused("\"exp\":18446744073709551616".into(), ClaimInvalid, "exp"),
            refused("\"exp\":1e400".into(), ClaimInvalid, "exp"),
            refused("\"exp\":1e99999999999999999999".into(), ClaimInvalid, "exp"),
            refused(format!("\"exp\":{}", "9".repeat(5000)), ClaimInvalid, "exp"),
            refused("\"exp\":-1".into(), ClaimInvalid, "exp"),
            refused("\"exp\":-9223372036854775809".into(), ClaimInvalid, "exp"),
            refused("\"exp\":-1e400".into(), ClaimInvalid, "exp"),
            refused("\"a\":1".into(), ClaimMissing, "exp"),
            refused("\"exp\":null".into(), ClaimMissing, "exp"),
            refused("\"exp\":\"4000000000\"".into(), ClaimWrongType, "exp"),
            refused("\"exp\":true".into(), ClaimWrongType, "exp"),
            refused("\"exp\":[4000000000]".into(), ClaimWrongType, "exp"),
            refused("\"exp\":{}".into(), ClaimWrongType, "exp"),
            ok(format!("\"exp\":4e9,\"nbf\":{},\"iat\":{}", NOW - 5, NOW)),
            ok(format!("\"exp\":4e9,\"nbf\":{0},\"iat\":{0}", NOW + 300)),
            ok("\"exp\":4e9,\"iat\":0".into()),
            refused(format!("\"exp\":4e9,\"nbf\":{}", NOW + 301), TokenNotYetValid, "nbf"),
            refused(format!("\"exp\":4e9,\"iat\":{}", NOW + 301), TokenNotYetValid, "iat"),
            refused(format!("\"exp\":4e9,\"iat\":{}.1", NOW + 300), TokenNotYetValid, "iat"),
            refused("\"exp\":4e9,\"nbf\":\"now\"".into(), ClaimWrongType, "nbf"),
            refused("\"exp\":4e9,\"iat\":\"now\"".into(), ClaimWrongType, "iat"),
            refused("\"exp\":4e9,\"iat\":null".into(), ClaimWrongType, "iat"),
            refused("\"exp\":4e9,\"nbf\":-1".into(), ClaimInvalid, "nbf"),
        ] {
            let expected = expected.map(|(reason, claim)| (reason, Some(claim.to_owned())));
            assert_eq!(judge(&members), expected, "{members:.80}");
        }
    }

    #[test]
    fn who_wants_tighter_times_has_them() {
        let seconds = Duration::from_secs;
        let times = Times { after_expiry: seconds(30), ahead: seconds(20), oldest: Some(seconds(1000)) };
        let judge = |exp: i64, nbf: i64, iat: i64| {
            let at = |by: i64| NOW.saturating_add_signed(by);
            judge_by(&times, &format!("\"exp\":{},\"nbf\":{},\"iat\":{}", at(exp), at(nbf), at(iat)))
                .map(|(reason, claim)| (reason, claim.unwrap_or_default()))
        };
        let refused = |reason, claim: &str| Some((reason, claim.to_owned()));
        assert_eq!(judge(-29, 20, 20), None);
        assert_eq!(judge(-30, 0, 0), refused(Reason::TokenExpired, "exp"));
        assert_eq!(judge(60, 21, 0), refused(Reason::TokenNotYetValid, "nbf"));
        assert_eq!(judge(60, 0, 21), refused(Reason::TokenNotYetValid, "iat"));
        assert_eq!(judge(60, -5000, -999), None);
        assert_eq!(judge(60, 0, -1000), refused(Reason::TokenExpired, "iat"));
        let ageless = judge_by(&times, "\"exp\":4e9");
        assert_eq!(ageless, Some((Reason::ClaimMissing, Some("iat".to_owned()))));
    }
}

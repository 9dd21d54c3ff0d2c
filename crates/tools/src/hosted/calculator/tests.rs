use proptest::prelude::*;
use serde_json::Value;

use super::expression::evaluate;
use super::*;
use crate::testing::call;

#[track_caller]
fn check(expression: &str, expected: &str) {
    assert_eq!(
        evaluate(expression).map(|value| value.render().text).as_deref(),
        Ok(expected),
        "{expression}"
    );
}

#[track_caller]
fn fails(expression: &str, expected: Error) {
    assert_eq!(evaluate(expression).map(|value| value.render().text), Err(expected), "{expression}");
}

#[test]
fn money_is_exact() {
    check("0.1 + 0.2", "0.3");
    check("19.99 * 3", "59.97");
    check("1299.99 * 1.19", "1546.9881");
    check("round(1299.99 * 1.19, 2)", "1546.99");
    check("100 / 3 * 3", "100");
    check("0.1 * 3 - 0.3", "0");
    check("1e-7 + 1e7", "10000000.0000001");
    check("123456789012345678901234567890 * 10 + 1", "1234567890123456789012345678901");
    check("5e3", "5000");
    check(".5 + 5.", "5.5");
}

#[test]
fn operators_bind_as_in_a_textbook() {
    check("1 + 2 * 3", "7");
    check("(1 + 2) * 3", "9");
    check("-2^2", "-4");
    check("(-2)^2", "4");
    check("2^3^2", "512");
    check("2**10", "1024");
    check("2^-2", "0.25");
    check("10 - 4 - 3", "3");
    check("24 / 4 / 2", "3");
    check("2 * -3", "-6");
    check("--3 + +4", "7");
    check("7 % 3", "1");
    check("-7 % 3", "2");
    check("7.5 % 2", "1.5");
    check("6 ÷ 2 × 5 − 1", "14");
}

#[test]
fn functions_and_constants_are_known() {
    check("sqrt(144)", "12");
    check("sqrt(2.25)", "1.5");
    check("sqrt(2)", "1.4142135623731");
    check("abs(-3.5)", "3.5");
    check("round(2.5) + round(-2.5)", "0");
    check("round(1234, -2)", "1200");
    check("floor(-1.5)", "-2");
    check("ceil(1.2)", "2");
    check("floor(pi * 1000)", "3141");
    check("min(3, 1, 2) + max(3, 1, 2)", "4");
    check("log(1000)", "3");
    check("log(8, 2)", "3");
    check("ln(e)", "1");
    check("exp(0)", "1");
    check("SIN(0) + cos(0) + tan(0)", "1");
    check("sin(π)", "1.22464679914735e-16");
    check("2 * pi", "6.28318530717959");
    check("2^0.5", "1.4142135623731");
}

#[test]
fn what_has_no_end_is_rounded_and_says_so() {
    let check = |expression: &str, text: &str, is_exact: bool| {
        assert_eq!(
            evaluate(expression).unwrap().render(),
            number::Rendered { text: text.to_owned(), is_exact }
        );
    };
    check("1 / 3", "0.333333333333333333333333333333", false);
    check("-2 / 3", "-0.666666666666666666666666666667", false);
    check("10000 / 7", "1428.57142857142857142857142857", false);
    check("1 / 8", "0.125", true);
    check("pi", "3.14159265358979", false);
}

#[test]
fn what_is_wrong_is_named() {
    fails("", Error::Incomplete);
    fails("1 +", Error::Incomplete);
    fails("(1", Error::Incomplete);
    fails("min(1,", Error::Incomplete);
    fails("1 2", Error::Unexpected("2".into()));
    fails("1)", Error::Unexpected(")".into()));
    fails("* 1", Error::Unexpected("*".into()));
    fails("20 € + 1", Error::Character('€'));
    fails(".", Error::Unreadable(".".into()));
    fails("foo(1)", Error::Unknown("foo".into()));
    fails("x + 1", Error::Unknown("x".into()));
    fails("sqrt(1, 2)", Error::Arguments { name: "sqrt".into(), count: "one" });
    fails("max()", Error::Arguments { name: "max".into(), count: "at least one" });
    fails("round(1, 0.5)", Error::Places);
    fails("round(1, 31)", Error::Places);
    fails("1 / (0.1 + 0.2 - 0.3)", Error::DivisionByZero);
    fails("1 % 0", Error::DivisionByZero);
    fails("0^-1", Error::DivisionByZero);
    fails("sqrt(-1)", Error::Undefined);
    fails("ln(0)", Error::Undefined);
    fails("log(2, 1)", Error::Undefined);
    fails("(-8)^0.5", Error::Undefined);
}

#[test]
fn nothing_grows_without_bound() {
    fails("9^9^9", Error::TooLarge);
    fails("10^4000", Error::TooLarge);
    fails("2^4097", Error::TooLarge);
    fails("1e1001", Error::TooLarge);
    fails("1e99999999999", Error::TooLarge);
    fails("exp(1000)", Error::TooLarge);
    check("1^99999999999", "1");
    check("(-1)^99999999999", "-1");
    check("0^99999999999", "0");
    check("0^0", "1");
    fails(&"9".repeat(1_001), Error::TooLong);
    let deep = |levels: usize| format!("{}1{}", "(".repeat(levels), ")".repeat(levels));
    check(&deep(64), "1");
    fails(&deep(65), Error::TooDeep);
    fails(&format!("{}1", "-".repeat(65)), Error::TooDeep);
}

#[test]
fn an_answer_is_json_that_tells_whether_it_is_exact() {
    let answer = calculate(&call(CALCULATE, json!({"expression": "0.1 + 0.2"})));
    assert_eq!(answer, Answer::text(r#"{"result":"0.3","exact":true}"#));
    let answer = calculate(&call(CALCULATE, json!({"expression": "1 / 0"})));
    assert_eq!(answer, Answer::error("The expression cannot be worked out. It divides by zero."));
    assert!(calculate(&call(CALCULATE, json!({"formula": "1"}))).is_error);
}

#[test]
fn a_list_is_described() {
    let describe = |numbers: Value| {
        let answer = statistics(&call(STATISTICS, json!({"numbers": numbers})));
        assert!(!answer.is_error, "{answer:?}");
        serde_json::from_str::<Value>(&answer.output).unwrap()
    };
    assert_eq!(
        describe(json!([4, 0.1, 0.2, -3.3])),
        json!({
            "count": "4",
            "sum": "1",
            "mean": "0.25",
            "median": "0.15",
            "min": "-3.3",
            "max": "4",
            "population_standard_deviation": "2.5831182706179",
            "sample_standard_deviation": "2.98272805777977",
        })
    );
    let one = describe(json!([7]));
    assert_eq!((&one["median"], &one["sample_standard_deviation"]), (&json!("7"), &Value::Null));
    assert_eq!(one["population_standard_deviation"], "0");
    assert_eq!(describe(json!([1, 1, 2]))["mean"], "1.333333333333333");
    for wrong in [json!([]), json!(["1"]), json!(vec![1; 1_001]), Value::Null] {
        assert!(statistics(&call(STATISTICS, json!({"numbers": wrong}))).is_error, "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_calculator(text in "[0-9a-z+*/%^()., \\-éπ]{0,80}") {
        let _ = evaluate(&text).map(|value| value.render());
    }

    #[test]
    fn sums_of_cents_agree_with_whole_numbers(left in -1_000_000_000_i64..1_000_000_000, right in -1_000_000_000_i64..1_000_000_000) {
        let cents = |cents: i64| format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
        let sum = evaluate(&format!("({} + {}) * 100", cents(left), cents(right))).unwrap();
        prop_assert_eq!(sum.render().text, (left + right).to_string());
    }
}

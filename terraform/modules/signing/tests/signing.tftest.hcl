# Plans alone: what was applied could not be destroyed again.
mock_provider "aws" {
  override_during = plan

  mock_resource "aws_kms_key" {
    defaults = {
      arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
    }
  }

  mock_resource "aws_iam_role" {
    defaults = {
      arn = "arn:aws:iam::123456789012:role/millrace-signer"
    }
  }
}

variables {
  prefix          = "millrace"
  account_id      = "123456789012"
  keys            = { rpm = "ECC_NIST_EDWARDS25519", old = "RSA_4096" }
  alarm_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "the_signer_signs_and_nobody_else" {
  command = plan

  assert {
    condition     = alltrue([for key in aws_kms_key.signing : key.key_usage == "SIGN_VERIFY" && key.deletion_window_in_days == 30])
    error_message = "Keys sign, and take a month to go."
  }
  assert {
    condition = alltrue([
      for key in aws_kms_key.signing : one([
        for statement in jsondecode(key.policy).Statement : statement.Condition.ArnNotEquals["aws:PrincipalArn"] == aws_iam_role.signer.arn && contains(statement.Action, "kms:Sign")
        if statement.Effect == "Deny"
      ])
    ])
    error_message = "Every key refuses to sign for anybody but the signer."
  }
  assert {
    condition     = !contains(jsondecode(aws_kms_key.signing["rpm"].policy).Statement[0].Action, "kms:Sign")
    error_message = "Administrators do not sign."
  }
  assert {
    condition     = toset(flatten([for statement in jsondecode(aws_iam_role_policy.signer.policy).Statement : statement.Action])) == toset(["kms:Sign", "kms:GetPublicKey", "kms:DescribeKey"])
    error_message = "The signer can do nothing else."
  }
  assert {
    condition     = length(aws_kms_key.signing) == 2 && strcontains(file("main.tf"), "prevent_destroy = true")
    error_message = "Terraform refuses to destroy a key."
  }
}

run "keys_that_rpm_does_not_read_are_refused" {
  command = plan

  variables {
    keys = { rpm = "ECC_NIST_P256" }
  }

  expect_failures = [var.keys]
}

run "the_whole_account_is_no_signer" {
  command = plan

  variables {
    signer_principal_arns = ["arn:aws:iam::123456789012:root"]
  }

  expect_failures = [var.signer_principal_arns]
}

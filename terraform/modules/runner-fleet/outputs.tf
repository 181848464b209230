output "group_name" {
  description = "Name of the group, for the dashboard."
  value       = aws_autoscaling_group.runner.name
}

output "role_arn" {
  description = "Role of the instances."
  value       = aws_iam_role.instance.arn
}

output "security_group_id" {
  description = "Security group of the instances."
  value       = aws_security_group.runner.id
}

output "policy" {
  description = "Policy of the instances, as JSON: for tests."
  value       = aws_iam_role_policy.instance.policy
}

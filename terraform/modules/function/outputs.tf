output "name" {
  description = "Name of the function."
  value       = aws_lambda_function.function.function_name
}

output "arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.function.arn
}

output "invoke_arn" {
  description = "What an HTTP API calls."
  value       = aws_lambda_function.function.invoke_arn
}

output "log_group_name" {
  description = "Where it logs."
  value       = aws_cloudwatch_log_group.function.name
}

output "role_arn" {
  description = "ARN of its role."
  value       = aws_iam_role.function.arn
}

output "role_name" {
  description = "Name of its role."
  value       = aws_iam_role.function.name
}

output "policy" {
  description = "Its policy, as JSON."
  value       = aws_iam_role_policy.function.policy
}

output "installation" {
  description = "All that `millrace init` has to know of this installation: version, region, table, bucket, queue prefix, URLs, key ARNs."
  value       = local.installation
}

output "api_url" {
  description = "URL of the HTTP API, for runners and the command line."
  value       = aws_apigatewayv2_api.control_plane.api_endpoint
}

output "api_domain_name" {
  description = "Host name of the HTTP API, for the distribution."
  value       = replace(aws_apigatewayv2_api.control_plane.api_endpoint, "https://", "")
}

output "configuration_parameter_name" {
  description = "Name of the configuration document."
  value       = aws_ssm_parameter.configuration.name
}

output "configuration_parameter_arn" {
  description = "Its ARN."
  value       = aws_ssm_parameter.configuration.arn
}

output "secret_parameter_arns" {
  description = "ARNs of the SecureString parameters by what they are for."
  value       = local.secret_arns
}

output "function_names" {
  description = "Names of all functions of this module, for the dashboard."
  value       = sort([for function in module.function : function.name])
}

output "role_arns" {
  description = "Role of each function by its name."
  value       = { for name, function in module.function : name => function.role_arn }
}

output "policies" {
  description = "Policy of each function, and of runners, as JSON: for tests."
  value       = merge({ for name, function in module.function : name => function.policy }, { runner = aws_iam_role_policy.runner.policy })
}

output "runner_role_arn" {
  description = "Role that runner-api lends to runners."
  value       = aws_iam_role.runner.arn
}

output "api_id" {
  description = "The HTTP API, for the dashboard."
  value       = aws_apigatewayv2_api.control_plane.id
}

output "architecture" {
  description = "What the packages have to be compiled for."
  value       = var.architecture
}

output "url" {
  description = "What the forge calls: `/webhook/github` or `/webhook/gitea` below it."
  value       = "${aws_apigatewayv2_api.webhook.api_endpoint}/webhook"
}

output "function_name" {
  description = "Name of the function, for the dashboard."
  value       = module.function.name
}

output "role_arn" {
  description = "Role of the function."
  value       = module.function.role_arn
}

output "architecture" {
  description = "What the packages have to be compiled for."
  value       = var.architecture
}

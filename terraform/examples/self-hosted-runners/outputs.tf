output "installation" {
  description = "For `millrace init`: terraform output -json installation."
  value       = module.control_plane.installation
}

output "api_url" {
  description = "URL for runners and the command line."
  value       = module.control_plane.api_url
}

output "webhook_url" {
  description = "What the forge calls, with `/github` or `/gitea` after it."
  value       = module.webhook.url
}

output "repositories_url" {
  description = "What clients of the repositories write down."
  value       = "${module.publishing.url}/repos"
}

output "signer_instance_profile_name" {
  description = "Instance profile of a signer on EC2."
  value       = module.signing.signer_instance_profile_name
}

output "signer_role_arn" {
  description = "Role that signs."
  value       = module.signing.signer_role_arn
}

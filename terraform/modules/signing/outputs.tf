output "key_arns" {
  description = "ARNs of the signing keys by name."
  value       = { for name, key in aws_kms_key.signing : name => key.arn }
}

output "signer_role_arn" {
  description = "Role that signs."
  value       = aws_iam_role.signer.arn
}

output "signer_instance_profile_name" {
  description = "Instance profile for a signer on EC2."
  value       = aws_iam_instance_profile.signer.name
}

output "bucket_name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.artifacts.id
}

output "bucket_arn" {
  description = "ARN of the bucket, for policies."
  value       = aws_s3_bucket.artifacts.arn
}

output "bucket_regional_domain_name" {
  description = "Host name of the bucket, for the distribution."
  value       = aws_s3_bucket.artifacts.bucket_regional_domain_name
}

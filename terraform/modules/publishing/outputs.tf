output "url" {
  description = "Where clients find the repositories, below `/repos`."
  value       = "https://${length(var.aliases) > 0 ? var.aliases[0] : aws_cloudfront_distribution.repositories.domain_name}"
}

output "distribution_arn" {
  description = "The distribution, which the bucket lets read."
  value       = aws_cloudfront_distribution.repositories.arn
}

output "distribution_id" {
  description = "The distribution's id."
  value       = aws_cloudfront_distribution.repositories.id
}

output "domain_name" {
  description = "Where your DNS points the aliases to."
  value       = aws_cloudfront_distribution.repositories.domain_name
}

output "alarm_name" {
  description = "The alarm of the distribution; null: there is none."
  value       = one(aws_cloudwatch_metric_alarm.errors[*].alarm_name)
}
